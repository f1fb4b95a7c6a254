"""Time `choice` against Outlines + vLLM writing the same JSON, and against just prefilling the reports.

    make bench                                      # or: python -m benchmarks.choice_vs_grammar --texts FILE.jsonl

One process, one vLLM engine, the same weights, reports and fields (`cmr-report@1`). `--texts` takes JSON lines with a
`text` key; the longest are used, because a clinical report is longer than a case report's excerpt. Without the file
the reports of examples/ are used. The prefix cache is emptied before every timing; for `choice` the instructions are
then read once, as a running service has them. Nothing else may use the machine meanwhile.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from extractor.engine.local import LocalEngine
from extractor.grammar import compile_grammar, json_schema
from extractor.pipeline import Extractor, Job, open_extractor
from extractor.plan import bind
from extractor.prompt import report_lines, system_text
from extractor.report import Report
from extractor.result import Extraction

SCHEMA = "cmr-report@1"
REAL = Path("../shared/data/real_dev.jsonl")


def texts(path: Path, count: int) -> tuple[list[str], str]:
    if path.is_file():
        found = [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]
        return sorted(found, key=len, reverse=True)[
            :count
        ], f"the {count} longest of {len(found)} texts of {path.name}"
    found = [file.read_text("utf-8") for file in sorted(Path("examples").glob("*.txt"))]
    return found[:count], "the authored reports of examples/"


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


class Bench:
    """The timings. Where not `cold`, the instructions stay cached, and a report must be one that was not read before."""

    def __init__(self, extractor: Extractor, reports: Sequence[str], *, cold: bool = True) -> None:
        if not isinstance(extractor.engine, LocalEngine):
            raise TypeError("the benchmark needs the engine in this process")
        self.extractor = extractor
        self.engine = extractor.engine
        self.reports = reports
        self.cold = cold

    def _cold(self) -> None:
        if self.cold:
            self.engine.llm.reset_prefix_cache()

    def prefill(self, batch: Sequence[str]) -> float:
        """Only the reports' own lines, computed once, one token sampled."""
        from vllm import SamplingParams

        prompts = [
            {"prompt_token_ids": self.engine.encode(report_lines(Report.parse(t).sentences))} for t in batch
        ]
        self._cold()
        once = SamplingParams(max_tokens=1, temperature=0)
        return seconds(lambda: self.engine.llm.generate(prompts, once, use_tqdm=False))[0]

    def choice(self, batch: Sequence[str]) -> tuple[float, list[Extraction]]:
        self._cold()
        self.extractor.prepare(SCHEMA)
        took, results = seconds(lambda: self.extractor.extract([Job(text, SCHEMA) for text in batch]))
        return took, results

    def outlines(self, batch: Sequence[str]) -> float:
        """The same object through `outlines.from_vllm_offline`, greedy, with room for the longest output."""
        import outlines
        from outlines.inputs import Chat
        from outlines.types import JsonSchema
        from vllm import SamplingParams

        model = outlines.from_vllm_offline(self.engine.llm)
        layout = self.extractor._layout(SCHEMA, "grammar")
        system = system_text(layout.form, layout.book, "grammar")
        terms = layout.book.terms(layout.form)
        plans = [bind(layout.form, Report.parse(text), terms) for text in batch]
        chats = [
            [
                {"role": "system", "content": system},
                {"role": "user", "content": f"Report:\n{report_lines(p.sentences)}"},
            ]
            for p in plans
        ]
        kinds = [JsonSchema(json_schema(plan)) for plan in plans]
        params = [SamplingParams(max_tokens=compile_grammar(plan).longest, temperature=0) for plan in plans]
        self._cold()
        if len(batch) == 1:
            return seconds(lambda: model(Chat(chats[0]), kinds[0], sampling_params=params[0]))[0]
        # Outlines' own batch takes one schema for all reports; each report has its own here.
        ready = [
            model._build_generation_args({"sampling_params": p}, k)
            for p, k in zip(params, kinds, strict=True)
        ]
        return seconds(lambda: self.engine.llm.chat(chats, ready, use_tqdm=False))[0]


def ratio_interval(top: Sequence[float], bottom: Sequence[float], seed: int = 0) -> str:
    """Ratio of means with a bootstrap 95 % interval over reports."""
    draw = random.Random(seed)  # noqa: S311
    ratios = []
    for _ in range(2000):
        chosen = draw.choices(range(len(top)), k=len(top))
        ratios.append(sum(top[i] for i in chosen) / sum(bottom[i] for i in chosen))
    ratios.sort()
    return f"{sum(top) / sum(bottom):.2f} ({ratios[49]:.2f} to {ratios[1949]:.2f})"


def memory() -> str:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return ", ".join(f"{key} {int(lines[key].split()[0]) / 2**20:.2f} GiB" for key in ("VmRSS", "VmHWM"))


def flips(bench: Bench, reports: Sequence[str]) -> list[str]:
    """Values that differ between a report read alone and in batches of 8 and of 32."""

    def read(size: int) -> list[Extraction]:
        return [r for k in range(0, len(reports), size) for r in bench.choice(reports[k : k + size])[1]]

    alone = read(1)
    lines = []
    for size in (8, 32):
        pairs = [
            (a.fields[path], b.fields[path])
            for a, b in zip(alone, read(size), strict=True)
            for path in a.fields
            if a.fields[path].status == "answered" or b.fields[path].status == "answered"
        ]
        changed = sum(a.value != b.value for a, b in pairs)
        moved = max(abs(a.probability - b.probability) for a, b in pairs)
        lines.append(f"| batch of {size} | {changed} of {len(pairs)} | {moved:.4f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, default=REAL)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--model")
    parser.add_argument("--no-outlines", action="store_true", help="leave the slow peer out")
    parser.add_argument("--flips", type=int, default=32, help="reports for the flip rate; 0 for none")
    options = parser.parse_args()
    chosen, where = texts(options.texts, options.count)
    extractor = open_extractor(options.model)
    extractor.prepare(SCHEMA)
    bench = Bench(extractor, chosen)
    print(report(bench, where, outlines=not options.no_outlines))
    if options.flips:
        several, source = texts(options.texts, options.flips)
        print(f"\nFlip rate, {source}, n = {len(several)} reports:\n")
        print("| against alone | values that differ | largest change of a probability |\n|---|---|---|")
        print("\n".join(flips(bench, several)))
    extractor.engine.close()


def report(bench: Bench, where: str, *, outlines: bool) -> str:
    bench.prefill(bench.reports[:1])
    prefill = [bench.prefill([text]) for text in bench.reports]
    alone = [bench.choice([text]) for text in bench.reports]
    prefill_batch = bench.prefill(bench.reports)
    batch, _ = bench.choice(bench.reports)
    after = memory()
    n = len(bench.reports)
    ours = [took for took, _ in alone]
    usage = [result.usage for _, (result,) in alone]
    tokens = [len(bench.engine.encode(text)) for text in bench.reports]
    info = bench.extractor.info
    machine = f"{datetime.now(UTC).date()}, {cpu()}, {os.cpu_count()} cores"
    engine = f"{info.model} {info.precision}, {info.engine}, `{SCHEMA}`"
    lines = [
        f"{machine}; {engine}; n = {n} reports ({where}), {min(tokens)} to {max(tokens)} tokens.",
        "",
        "| | one report alone, s (mean) | batch, s a report |",
        "|---|---|---|",
        f"| prefill of the report | {statistics.fmean(prefill):.2f} | {prefill_batch / n:.2f} |",
        f"| `choice` | {statistics.fmean(ours):.2f} | {batch / n:.2f} |",
    ]
    ratios = [
        f"| `choice` / prefill | {ratio_interval(ours, prefill)} | {batch / prefill_batch:.2f} |",
    ]
    if outlines:
        theirs = [bench.outlines([text]) for text in bench.reports]
        theirs_batch = bench.outlines(bench.reports)
        lines.append(
            f"| Outlines + vLLM, same JSON | {statistics.fmean(theirs):.2f} | {theirs_batch / n:.2f} |"
        )
        ratios.append(
            f"| Outlines / `choice` | {ratio_interval(theirs, ours)} | {theirs_batch / batch:.2f} |"
        )
    computed = statistics.fmean(use.prompt_tokens - use.cached_tokens for use in usage)
    cached = statistics.fmean(use.cached_tokens for use in usage)
    own = statistics.fmean(tokens)
    work = f"Tokens a report in `choice`: {computed:.0f} computed ({own:.0f} are the report's), {cached:.0f} cached."
    return "\n".join([*lines, *ratios, "", work, f"Memory with the model loaded and used: {after}."])


def cpu() -> str:
    info = Path("/proc/cpuinfo").read_text()
    name = next(
        (line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), ""
    )
    return f"{name or platform.processor()} ({'AVX512-VNNI' if 'avx512_vnni' in info else 'no AVX512-VNNI'})"


if __name__ == "__main__":
    main()
