"""What keeps `choice` above the prefill of a report, and what settings of the engine and its process change.

    python -m benchmarks.floor [--texts FILE.jsonl]

Each setting reads the same reports in a process of its own: the longest real texts, as in `benchmarks.choice_vs_grammar`.
The first table says where the engine as it comes spends a report's time, by PyTorch's profiler, and the lines below it what a
field and a longer report cost. The second says what each
setting was expected to save and what is left of the time, with a 95 % bootstrap interval over reports; the engine as
it comes is measured twice, to see how far chance goes. For CPUs; nothing else may use the machine meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.choice_vs_grammar import REAL, SCHEMA, Bench, cpu, ratio_interval, seconds, texts
from benchmarks.peers.lines import own_output
from extractor.engine.base import Chat
from extractor.engine.local import LocalEngine
from extractor.pipeline import Extractor, Job
from extractor.store import default_id, locate
from extractor.wording import find_wording

REST = "norms, activations, everything else"
PARTS = {
    "scaled_mm": "int8 matrix products",
    "attention_with_kv_cache": "attention",
    "onednn_mm": "scores of the whole vocabulary",
}
"""What vLLM's operators do, by a piece of their names."""
ONE_FIELD = "cmr-diagnosis@1"
LENGTHS = (1, 2, 4)
LIMIT = 300  # seconds for one setting, loading and compiling included


@dataclass(frozen=True)
class Setting:
    """One change of the engine or its process, and what it was expected to save of a report's time, and why."""

    name: str
    expected: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**28)}
OPENMP = {"LD_PRELOAD": str(Path(sys.prefix) / "lib" / "libiomp5.so")}
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
SETTINGS = (
    Setting("as it comes", ""),
    Setting("freed memory kept", "5 %: no page is asked for twice", environment=KEPT),
    Setting("the same, in huge pages", "8 %: fewer misses of the TLB as well", environment=KEPT | HUGE),
    Setting(
        "the same, with Intel's OpenMP", "13 %: threads meet faster as well", environment=KEPT | HUGE | OPENMP
    ),
    Setting("as it comes, again", "0 %: how far chance goes"),
    Setting("compiled by Inductor", "8 %: norms and activations fused", {"enforce_eager": False}),
)


def measure(setting: Setting, reports: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return each report's mean seconds, and with the engine as it comes those of each part of the first one."""
    weights = locate(default_id())
    chat = Chat(**weights.entry.template.model_dump())
    engine = LocalEngine(
        weights.path, model=default_id(), weights_sha256=weights.sha256, precision=weights.precision, chat=chat,
        options=dict(setting.options),
    )  # fmt: skip
    bench = Bench(Extractor(engine, wording=find_wording(None)), reports, cold=False)
    choice, prefill = [0.0] * len(reports), [0.0] * len(reports)
    for turn in range(rounds + 1):
        for i, text in enumerate(reports):
            unread = [f"Reading {turn}. {text}"]
            took, floor = bench.choice(unread)[0], bench.prefill(unread)
            if turn:  # in the first one all is compiled, for the lengths to come
                choice[i] += took / rounds
                prefill[i] += floor / rounds
    found: dict[str, Any] = {"choice": choice, "prefill": prefill}
    if setting is SETTINGS[0]:
        results = [bench.choice([f"Counting. {text}"])[1][0] for text in reports]
        found["computed"] = [one.usage.prompt_tokens - one.usage.cached_tokens for one in results]
        found["fields"] = [len(one.fields) for one in results]
        found["open"] = [
            sum(one.status == "answered" for one in result.fields.values()) for result in results
        ]
        found["own"] = [len(engine.encode(text)) for text in reports]
        found["parts"] = {
            "prefill": parts(lambda: bench.prefill(reports[:1])),
            "choice": parts(lambda: bench.extractor.extract([Job(reports[0], SCHEMA)])),
        }
        found["one field"] = alone(bench.extractor, reports)
        found["by length"] = [by_length(bench, reports, times) for times in LENGTHS]
    return found


def alone(extractor: Extractor, reports: Sequence[str]) -> list[float]:
    """Return the seconds of reports under the schema of one field, once it has been warmed up on them."""
    extractor.extract([Job(f"Before. {text}", ONE_FIELD) for text in reports])
    return [seconds(partial(extractor.extract, [Job(text, ONE_FIELD)]))[0] for text in reports]


def by_length(bench: Bench, reports: Sequence[str], times: int) -> tuple[float, float]:
    """Return mean tokens and seconds of the reports printed so many times over."""
    longer = [f"Length {times}.\n" + "\n".join([text] * times) for text in reports]
    took = [bench.choice([text])[0] for text in longer]
    tokens = [len(bench.engine.encode(text)) for text in longer]
    return sum(tokens) / len(longer), sum(took) / len(longer)


def parts(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds of each part of some work, by PyTorch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    found = dict.fromkeys((*PARTS.values(), REST), 0.0)
    for one in profiled.key_averages():
        part = next((name for piece, name in PARTS.items() if piece in one.key), REST)
        found[part] += one.self_cpu_time_total / 1e6
    return found


def run(setting: Setting, arguments: Sequence[str]) -> dict[str, Any] | None:
    """Measure a setting in a process of its own; None where that fails or takes longer than `LIMIT`."""
    command = [sys.executable, "-m", "benchmarks.floor", *arguments, "--one", setting.name]
    try:
        done = subprocess.run(
            command,
            env=os.environ | dict(setting.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=LIMIT,
        )
    except subprocess.SubprocessError:
        return None
    return dict(json.loads(done.stdout))


def where_time_goes(first: Mapping[str, Any]) -> Iterator[str]:
    """The lines of the first table."""
    yield from ("| seconds of one report | prefill | `choice` | beyond prefill |", "|---|---|---|---|")
    for part, prefill in first["parts"]["prefill"].items():
        choice = first["parts"]["choice"][part]
        yield f"| {part} | {prefill:.2f} | {choice:.2f} | {choice - prefill:.2f} |"
    own, computed = (sum(first[key]) / len(first[key]) for key in ("own", "computed"))
    yield ""
    yield f"Tokens a report: {own:.0f} its own, {computed:.0f} computed by `choice`."
    several, one, fields, open_ = (
        sum(first[key]) / len(first[key]) for key in ("choice", "one field", "fields", "open")
    )
    more = several / one - 1
    yield (
        f"`{ONE_FIELD}` takes {one:.2f} s; `{SCHEMA}` {several:.2f} s: {more / (fields - 1):.1%} more for each further field of "
        f"its {fields:.0f}, {more / (open_ - 1):.1%} for each of the {open_:.0f} that a report leaves open."
    )
    told = ", ".join(f"{tokens:.0f} tokens {took:.2f} s" for tokens, took in first["by length"])
    yield f"The same reports printed {', '.join(map(str, LENGTHS))} times over: {told}."
    yield ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, default=REAL)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2, help="how often each report is timed")
    parser.add_argument(
        "--one", choices=[one.name for one in SETTINGS], help="measure one setting in this process, as JSON"
    )
    asked = parser.parse_args()
    reports, where = texts(asked.texts, asked.count)
    if asked.one:
        emit = own_output()
        emit(measure(next(one for one in SETTINGS if one.name == asked.one), reports, asked.rounds))
        os._exit(0)  # all is said, and some engines take long to close
    machine = f"{datetime.now(UTC).date()}, {cpu()}, {os.cpu_count()} cores"
    print(f"{machine}; `{SCHEMA}`; n = {len(reports)} reports ({where}), each {asked.rounds} times.\n")
    arguments = ["--texts", str(asked.texts), "--count", str(asked.count), "--rounds", str(asked.rounds)]
    first = run(SETTINGS[0], arguments)
    if first is None:
        raise SystemExit("the engine as it comes failed: try benchmarks.choice_vs_grammar")
    print(*where_time_goes(first), sep="\n")
    print("| setting | expected to save | time / time as it comes | `choice` / prefill |\n|---|---|---|---|")
    for setting in SETTINGS:
        other = first if setting is SETTINGS[0] else run(setting, arguments)
        saved = "does not run" if other is None else ratio_interval(other["choice"], first["choice"])
        floor = "" if other is None else ratio_interval(other["choice"], other["prefill"])
        print(f"| {setting.name} | {setting.expected} | {saved} | {floor} |", flush=True)


if __name__ == "__main__":
    main()
