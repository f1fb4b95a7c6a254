"""Whether a model still reads a site's own categories after training: python -m benchmarks.unseen_labels [--model A ...]

60 authored texts, 15 each of four diagnoses that no training report is labelled with, under the site schema of
benchmarks/unseen, which adds them to the diagnoses of cmr-diagnosis@3. Or, of a model that was trained without some
diagnoses (`python -m training train --hold-out A,B`), the reports of annotated sets that have them, under cmr-diagnosis@3:

    python -m benchmarks.unseen_labels --model FOLDER --held-out A,B

Intervals are Wilson's, 95 %, and take reports for independent, which translations of one are not.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from statsmodels.stats.proportion import proportion_confint

from eval.gold import load
from extractor import site
from extractor.errors import ExtractorError
from extractor.options import listed, vllm_says
from extractor.pipeline import Job, open_extractor
from extractor.result import Extraction
from extractor.store import default_id, entry
from extractor.terminal import own_terminal

FOLDER = Path(__file__).parent / "unseen"


def told(right: int, n: int) -> str:
    low, high = proportion_confint(right, n, method="wilson")
    return f"{right} of {n}, {right / n:.2f} ({low:.2f} to {high:.2f})"


@click.command()
@click.option("--model", "models", multiple=True, help="The default model and its base if none.")
@click.option(
    "--held-out", callback=listed, default="", metavar="A,B", help="Diagnoses that training left out."
)
@click.option(
    "--sets",
    callback=listed,
    default="cmr-109,cmr-hard,cmr-calibration",
    show_default=True,
    help="Where reports that have them are taken from.",
)
def main(models: tuple[str, ...], held_out: tuple[str, ...], sets: tuple[str, ...]) -> None:
    """Print each label's recall, and what wrong answers say instead."""
    adapter = entry(default_id()).adapter
    models = models or (default_id(), *([adapter.base] if adapter else []))
    if held_out:
        ref, path, texts = "cmr-diagnosis@3", "primary", of_sets(sets, held_out)
    else:
        site.load(FOLDER)
        ref, path = "unseen@1", "diagnosis"
        texts = [json.loads(line) for line in (FOLDER / "texts.jsonl").read_text("utf-8").splitlines()]
    vllm_says(verbose=False)
    for model in models:
        with own_terminal(verbose=False) as (out, _):
            extractor = open_extractor(model)
            try:
                results = extractor.extract([Job(text["text"], ref) for text in texts])
            finally:
                extractor.engine.close()
            click.echo(f"{model}\n{table(texts, results, path)}", file=out)


def of_sets(names: Sequence[str], labels: Sequence[str]) -> list[dict[str, str]]:
    cases = [case for name in names for case in load(name, Path(".eval")).cases]
    return [{"text": c.text, "label": str(c.gold.diagnosis)} for c in cases if c.gold.diagnosis in labels]


def table(texts: Sequence[dict[str, str]], results: Sequence[Extraction | ExtractorError], path: str) -> str:
    rows = ["| label | found | said instead |", "| --- | --- | --- |"]
    answers = [
        (text["label"], "failed" if isinstance(one, ExtractorError) else one.data[path])
        for text, one in zip(texts, results, strict=True)
    ]
    for label in sorted({label for label, _ in answers}):
        own = [answer for wanted, answer in answers if wanted == label]
        wrong = Counter(answer for answer in own if answer != label)
        instead = ", ".join(f"{answer} {count}" for answer, count in wrong.most_common())
        rows.append(f"| {label} | {told(own.count(label), len(own))} | {instead} |")
    rows.append(f"| all | {told(sum(a == b for a, b in answers), len(answers))} | |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
