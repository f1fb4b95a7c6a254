"""How well the default model reads: the authored examples in full, and real texts' diagnoses where they are at hand.

    python -m benchmarks.reading [--texts FILE.jsonl] [--model ID]

`--texts` takes JSON lines with `text`, `categories` and `label_status`; rows with one stated category count. Seven
examples are too few and too tidy to say much: the intervals (Wilson, 95 %) say how little.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sklearn.metrics import f1_score

from benchmarks.choice_vs_grammar import REAL, SCHEMA, cpu
from extractor.pipeline import Extractor, Job, open_extractor
from extractor.result import Extraction

EXAMPLES = Path("examples")
FIVE = ("normal", "ischaemic", "dcm", "hcm", "amyloidosis")


def share(right: int, count: int) -> str:
    """A proportion with its Wilson score interval (Wilson 1927), 95 %."""
    z, p = 1.96, right / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return f"{right}/{count} = {p:.2f} ({max(0.0, centre - half):.2f} to {min(1.0, centre + half):.2f})"


def gold() -> Iterator[tuple[str, str, dict[str, str], dict[str, float]]]:
    """Each example's file, diagnosis, findings and measurements, from the table in examples/README.md."""
    for line in (EXAMPLES / "README.md").read_text("utf-8").splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.split("|")[1:-1]]
        if len(cells) != 8 or not cells[0].endswith(".txt"):
            continue
        file, _, diagnosis, present, absent, uncertain, pattern, numbers = cells
        findings = {"lge_pattern": pattern or "not_stated"}
        for status, names in (("present", present), ("absent", absent), ("uncertain", uncertain)):
            findings |= dict.fromkeys(filter(None, names.split(", ")), status)
        pairs = (pair.split() for pair in numbers.split(", ") if pair)
        yield file, diagnosis, findings, {name: float(value) for name, value in pairs}


def read(extractor: Extractor, texts: Sequence[str]) -> list[Extraction]:
    results = extractor.extract([Job(text, SCHEMA) for text in texts])
    return [result for result in results if isinstance(result, Extraction)]


def examples(extractor: Extractor) -> list[str]:
    rows = list(gold())
    results = read(extractor, [(EXAMPLES / file).read_text("utf-8") for file, *_ in rows])
    right: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for (_, diagnosis, findings, numbers), result in zip(rows, results, strict=True):
        data = result.data
        right["diagnosis"] += data["diagnosis"] == diagnosis
        count["diagnosis"] += 1
        for name, status in data["findings"].items():
            kind = "LGE pattern" if name == "lge_pattern" else "finding status"
            right[kind] += status == findings.get(name, "not_stated")
            count[kind] += 1
        for name, found in data["measurements"].items():
            value = None if found == "not_stated" else found["value"]
            if name in numbers:
                right["stated measurement"] += value == numbers[name]
                count["stated measurement"] += 1
            else:
                right["unstated measurement left out"] += value is None
                count["unstated measurement left out"] += 1
    return [
        f"| examples/, {len(rows)} reports | {kind} | {share(right[kind], count[kind])} |" for kind in count
    ]


def real(extractor: Extractor, path: Path) -> list[str]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["label_status"] == "stated" and len(row["categories"]) == 1]
    truth = [row["categories"][0] if row["categories"][0] in FIVE else "other" for row in rows]
    found = [result.data["diagnosis"] for result in read(extractor, [row["text"] for row in rows])]
    five = [i for i, label in enumerate(truth) if label in FIVE]
    macro = f1_score(
        [truth[i] for i in five], [found[i] for i in five], labels=FIVE, average="macro", zero_division=0
    )
    right = share(sum(truth[i] == found[i] for i in five), len(five))
    every = share(sum(a == b for a, b in zip(truth, found, strict=True)), len(truth))
    return [
        f"| {path.name}, five classes | diagnosis | {right}, macro-F1 {macro:.2f} |",
        f"| {path.name}, the rest as other | diagnosis | {every} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, default=REAL)
    parser.add_argument("--model")
    options = parser.parse_args()
    extractor = open_extractor(options.model)
    info = extractor.info
    print(
        f"{datetime.now(UTC).date()}, {cpu()}; {info.model} {info.precision}, {info.engine}, `{SCHEMA}`, `choice`.\n"
    )
    print("| texts | what | right (95 % interval) |\n|---|---|---|")
    print("\n".join(examples(extractor)))
    if options.texts.is_file():
        print("\n".join(real(extractor, options.texts)))
    extractor.engine.close()


if __name__ == "__main__":
    main()
