"""What keeps `choice` above the prefill of a report, and what the engine's settings change about it.

    python -m benchmarks.floor [--texts FILE.jsonl]

For each setting the same reports are read in a process of its own: the longest real texts, as in
`benchmarks.choice_vs_grammar`. The first table says where the engine as it comes spends its time, by PyTorch's profiler; the
second what each setting was expected to save of a report's time and what it saved, with a 95 % bootstrap interval over
reports. For CPUs; nothing else may use the machine meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.choice_vs_grammar import REAL, SCHEMA, Bench, cpu, ratio_interval, texts
from benchmarks.peers.lines import own_output
from extractor.engine.base import Chat
from extractor.engine.local import LocalEngine
from extractor.pipeline import Extractor, Job
from extractor.store import default_id, locate

REST = "norms, activations, everything else"
PARTS = {
    "scaled_mm": "int8 matrix products",
    "attention_with_kv_cache": "attention",
    "onednn_mm": "scores of the whole vocabulary",
}
"""What vLLM's operators do, by a piece of their names."""


@dataclass(frozen=True)
class Setting:
    """One change of the engine, and the share of a report's time that it was expected to save, and why."""

    name: str
    expected: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


SETTINGS = (
    Setting("as it comes", ""),
    Setting(
        "Intel's OpenMP instead of GNU's",
        "5 %, threads meet faster",
        environment={"LD_PRELOAD": str(Path(sys.prefix) / "lib" / "libiomp5.so")},
    ),
    Setting("compiled by Inductor", "8 %, norms and activations fused", {"enforce_eager": False}),
    Setting("KV blocks of 64 tokens", "-5 %, longer padding", {"block_size": 64}),
    Setting("float32 beside int8", "5 %, no bf16 units here", {"dtype": "float32"}),
    Setting("as it comes, again", "0 %"),
)


def measure(setting: Setting, reports: Sequence[str]) -> dict[str, Any]:
    """Return the seconds of each report, and of the first one those of each part."""
    weights = locate(default_id())
    chat = Chat(**weights.entry.template.model_dump())
    engine = LocalEngine(
        weights.path, model=default_id(), weights_sha256=weights.sha256, precision=weights.precision, chat=chat,
        options=dict(setting.options),
    )  # fmt: skip
    bench = Bench(Extractor(engine), reports)
    for text in reports[:2]:  # compiling is done then, for the lengths to come
        bench.choice([text])
        bench.prefill([text])
    choice = [bench.choice([text]) for text in reports]
    prefill = [bench.prefill([text]) for text in reports]
    usage = [result.usage for _, (result,) in choice]
    beside = {"prefill": parts(lambda: bench.prefill(reports[:1]))}
    bench.warm()
    beside["choice"] = parts(lambda: bench.extractor.extract([Job(reports[0], SCHEMA)]))
    return {
        "choice": [took for took, _ in choice],
        "prefill": prefill,
        "computed": [one.prompt_tokens - one.cached_tokens for one in usage],
        "own": [len(engine.encode(text)) for text in reports],
        "parts": beside,
    }


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
    """Measure a setting in a process of its own; None where it fails."""
    command = [sys.executable, "-m", "benchmarks.floor", *arguments, "--one", setting.name]
    done = subprocess.run(
        command,
        env=os.environ | dict(setting.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


def tables(found: Mapping[str, dict[str, Any] | None]) -> str:
    """Both tables, in Markdown."""
    first = found[SETTINGS[0].name]
    if first is None:
        raise SystemExit("the engine as it comes failed: try benchmarks.choice_vs_grammar")
    lines = ["| seconds of one report | prefill | `choice` | beyond prefill |", "|---|---|---|---|"]
    for part, prefill in first["parts"]["prefill"].items():
        choice = first["parts"]["choice"][part]
        lines.append(f"| {part} | {prefill:.2f} | {choice:.2f} | {choice - prefill:.2f} |")
    own, computed = (sum(first[key]) / len(first[key]) for key in ("own", "computed"))
    tokens = (
        f"Tokens a report: {own:.0f} its own, {computed:.0f} computed by `choice`. "
        f"`choice` / prefill: {ratio_interval(first['choice'], first['prefill'])}."
    )
    lines += [
        "",
        tokens,
        "",
        "| setting | expected to save | time / time as it comes | `choice` / prefill |",
        "|---|---|---|---|",
    ]
    for setting in SETTINGS[1:]:
        other = found[setting.name]
        if other is None:
            lines.append(f"| {setting.name} | {setting.expected} | does not run | |")
            continue
        ratios = (
            ratio_interval(other["choice"], first["choice"]),
            ratio_interval(other["choice"], other["prefill"]),
        )
        lines.append(f"| {setting.name} | {setting.expected} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, default=REAL)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument(
        "--one", choices=[one.name for one in SETTINGS], help="measure one setting in this process, as JSON"
    )
    asked = parser.parse_args()
    reports, where = texts(asked.texts, asked.count)
    if asked.one:
        emit = own_output()
        emit(measure(next(one for one in SETTINGS if one.name == asked.one), reports))
        os._exit(0)  # all is said, and some engines take long to close
    print(
        f"{datetime.now(UTC).date()}, {cpu()}, {os.cpu_count()} cores; `{SCHEMA}`; n = {len(reports)} reports ({where}).\n"
    )
    arguments = ["--texts", str(asked.texts), "--count", str(asked.count)]
    print(tables({setting.name: run(setting, arguments) for setting in SETTINGS}))


if __name__ == "__main__":
    main()
