"""Runs as Markdown: how fast, how good, and what each peer was set to; written between two marks of a page."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.choice_vs_grammar import ratio_interval
from benchmarks.peers.runs import LEVELS, Run
from benchmarks.peers.who import PEERS
from eval.intervals import share_interval

START, END = "<!-- peers: python -m benchmarks.peers writes this -->", "<!-- end of peers -->"
NOTHING = "-"
AT = tuple(sorted(LEVELS))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def between(page: str, written: str) -> str:
    """Put `written` between the marks of a page, in the place of what stood there.

    Raises:
        ValueError: the page has not each mark once, the first before the second.
    """
    head, start, rest = page.partition(START)
    _, end, tail = rest.partition(END)
    if not (start and end) or START in rest or END in tail:
        raise ValueError(f"{START} and {END} must stand in it once each")
    return f"{head}{START}\n{written.strip()}\n{END}{tail}"


def write(page: Path, written: str) -> None:
    page.write_text(between(page.read_text("utf-8"), written), "utf-8")


def section(runs: Sequence[Run], plot: str) -> str:
    """Return everything that stands between the marks; `plot` is the picture's address from the page."""
    own = next((run for run in runs if run.name == "choice"), None)
    about = next((run.about for run in runs if run.about), {})
    machine = f"{about.get('date', 'no date')}, {about.get('machine', 'no machine')}"
    reports = f"{about.get('n', 0)} authored reports of `{about.get('set', '')}`"
    head = [f"{machine}; `cmr-report@1`, {reports}.", "", f"![Reports a minute of each peer]({plot})", ""]
    return "\n".join([*head, *_speed(runs, own), "", *_answers(runs), "", *_settings(runs)])


def _speed(runs: Sequence[Run], own: Run | None) -> list[str]:
    counts = [max((len(run.seconds(level)) for run in runs), default=0) for level in AT]
    names = [
        f"{'alone' if level == 1 else f'{level} at once'} (n = {n})"
        for level, n in zip(AT, counts, strict=True)
    ]
    head = [
        *(f"reports a minute, {name}" for name in names),
        *(f"latency p50 / p95, s, {name}" for name in names),
        *(f"latency / `choice`, {name}" for name in names),
        "note",
    ]
    rows = [
        [
            PEERS[run.name].title,
            *(_figure(run.rate(level)) for level in AT),
            *(_latency(list(run.seconds(level).values())) for level in AT),
            *(_ratio(run, own, level) for level in AT),
            _cell(run.note),
        ]
        for run in runs
    ]
    return _table(["", *head], rows)


def _answers(runs: Sequence[Run]) -> list[str]:
    head = [
        "",
        "n",
        "valid",
        "diagnosis as gold",
        "stated findings as gold",
        "tokens written",
        "tries",
        "peak memory, GiB",
        "weights",
    ]
    return _table(head, [[PEERS[run.name].title, *_quality(run)] for run in runs])


def _quality(run: Run) -> list[str]:
    reads, clusters = run.reads, [line["cluster"] for line in run.reads]
    judged = [line for line in reads if line["diagnosis"] is not None]
    marks = [(k < line["findings"][0], line["cluster"]) for line in reads for k in range(line["findings"][1])]
    return [
        str(len(reads)),
        _share([line["valid"] for line in reads], clusters),
        _share([line["diagnosis"] for line in judged], [line["cluster"] for line in judged]),
        _share([right for right, _ in marks], [cluster for _, cluster in marks]),
        _mean([line["tokens"] for line in reads], 0),
        _mean([line["tries"] for line in reads], 2),
        _figure(run.gib),
        _cell(run.about.get("weights", "")),
    ]


def _settings(runs: Sequence[Run]) -> list[str]:
    return [f"- *{PEERS[run.name].title}*: {PEERS[run.name].settings}" for run in runs]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _figure(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _mean(values: Sequence[float], digits: int) -> str:
    return f"{sum(values) / len(values):.{digits}f}" if sum(values) else NOTHING


def _latency(values: Sequence[float]) -> str:
    return f"{percentile(values, 0.5):.1f} / {percentile(values, 0.95):.1f}" if values else NOTHING


def _ratio(run: Run, own: Run | None, level: int) -> str:
    """Mean latency against `choice`'s on the same reports, with a paired bootstrap 95 % interval over reports."""
    ours: Mapping[str, float] = own.seconds(level) if own else {}
    theirs = run.seconds(level)
    both = [report for report in theirs if report in ours]
    if not both or run is own:
        return NOTHING
    return ratio_interval([theirs[report] for report in both], [ours[report] for report in both])


def _share(right: Sequence[bool], clusters: Sequence[str]) -> str:
    """A share with its 95 % interval: Wilson's, or of findings resampled by report."""
    bounds = share_interval(right, clusters)
    if bounds is None:
        return NOTHING
    return f"{sum(right) / len(right):.2f} ({bounds[0]:.2f} to {bounds[1]:.2f})"


def _cell(text: str) -> str:
    """Text that cannot break a table."""
    return " ".join(text.replace("|", "/").split())
