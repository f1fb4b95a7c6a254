"""Figures for people: a Markdown table, `results.json`, and one HTML page that needs nothing but itself."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from eval import plots
from eval.answers import Run
from eval.calibration import ERROR
from eval.compare import compare
from eval.gold import AnnotatedSet
from eval.scoring import RESULTS, Scored, score
from eval.summary import summarise, worst
from extractor.errors import InputError

STUDY = (("Gemma2", 0.98), ("Qwen2.5-32B", 0.96), ("DeepSeek-R1-32B", 0.95), ("cardiologist", 0.94))
"""Average F1 on 109 clinical reports (Amirrajab et al., arXiv 2506.00060): measured elsewhere, on other data."""

Figure = Mapping[str, Any] | None


def number(figure: Figure, places: int = 2) -> str:
    """A figure with its interval: `0.93 (0.87 to 0.97)`."""
    if figure is None or figure["value"] is None:
        return "—"
    bounds = figure["interval"]
    spread = f" ({bounds[0]:.{places}f} to {bounds[1]:.{places}f})" if bounds else ""
    return f"{figure['value']:.{places}f}{spread}"


COLUMNS = (
    "system",
    "reports",
    "diagnosis accuracy",
    "diagnosis macro-F1",
    "stated findings right",
    "stated numbers exact",
    "invented",
    "evidence right",
    "ECE",
    "kept at 2 % error",
    "s a report",
)


def table(summaries: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """One row a run, by `COLUMNS`."""
    return [_row(one) for one in summaries]


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    diagnosis = one["diagnosis"] or {}
    numbers = one["measurements"]
    calibrated = one["calibration"]["diagnosis"]
    return (
        one["about"]["system"],
        f"{one['reports']}" + (f" ({sum(one['failed'].values())} failed)" if one["failed"] else ""),
        number(diagnosis.get("accuracy")),
        number(diagnosis.get("macro_f1")),
        number(one["groups"].get("findings, stated")),
        number(numbers and numbers["stated"]),
        str(numbers["results"]["invented"]) if numbers else "—",
        number(one["evidence"]),
        f"{calibrated['ece']:.2f}" if calibrated else "—",
        f"{calibrated['coverage_at_2_percent_error']:.0%}" if calibrated else "—",
        f"{one['speed']['seconds_mean']:.2f}" if one["speed"] else "—",
    )


def markdown(results: Mapping[str, Any]) -> str:
    """The table of every set, under its name, date and machine."""
    parts = []
    for made in results["sets"]:
        rows = [COLUMNS, tuple("---" for _ in COLUMNS), *table(made["runs"])]
        head = f"{made['set']}, `{made['schema']}`, {made['reports']} reports, {results['made']}; 95 % intervals."
        parts.append("\n".join([head, "", *(f"| {' | '.join(row)} |" for row in rows)]))
    return "\n\n".join(parts) + "\n"


def gather(runs: Sequence[tuple[Run, AnnotatedSet]]) -> tuple[dict[str, Any], dict[str, list[Scored]]]:
    """Figures of all runs, grouped by set and schema, and their rows by run folder."""
    scored = {run.folder.as_posix(): score(run, annotated) for run, annotated in runs}
    groups: dict[tuple[str, str], list[tuple[Run, AnnotatedSet]]] = {}
    for run, annotated in runs:
        if not scored[run.folder.as_posix()]:
            raise InputError(
                f"{run.folder.name} answered no report of the set as it is now.",
                code="run_empty",
                fix="Run it again: python -m eval",
            )
        groups.setdefault((annotated.name, run.about.schema_ref), []).append((run, annotated))
    sets = []
    for (name, ref), members in groups.items():
        named = {_name(run, members): scored[run.folder.as_posix()] for run, _ in members}
        sets.append(
            {
                "set": name,
                "schema": ref,
                "reports": len(members[0][1].cases),
                "languages": _count(case.language for case in members[0][1].cases),
                "runs": [summarise(run, annotated) for run, annotated in members],
                "comparisons": compare(named, ref),
            }
        )
    return {"made": datetime.now(UTC).date().isoformat(), "sets": sets}, scored


def comparison(runs: Sequence[tuple[Run, AnnotatedSet]]) -> str:
    """The pairs as Markdown: the diagnosis of every pair, and other fields that still differ after Holm's correction."""
    results, _ = gather(runs)
    if len(results["sets"]) > 1:
        raise InputError(
            "These runs are of several sets or schemas.",
            code="runs_differ",
            fix="Name runs of one set and schema.",
        )
    head = ("first", "second", "field", "n", "right", "difference (95 %)", "McNemar p", "Holm p")
    rows = [
        (
            one["first"],
            one["second"],
            one["field"],
            str(one["n"]),
            f"{one['first_right']} : {one['second_right']}",
            number({"value": one["difference"], "interval": one["interval"]}),
            p_value(one["p"]),
            p_value(one["p_holm"]),
        )
        for one in results["sets"][0]["comparisons"]
        if one["headline"] or one["p_holm"] < 0.05
    ]
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def _name(run: Run, members: Sequence[tuple[Run, AnnotatedSet]]) -> str:
    """A run's system; where two runs are of the same system, as before and after a change, the run's hash as well."""
    twins = [other for other, _ in members if other.about.system == run.about.system]
    return run.about.system + (f" {run.folder.name[-10:]}" if len(twins) > 1 else "")


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _count(values: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return found


def write(runs: Sequence[tuple[Run, AnnotatedSet]], folder: Path) -> dict[str, Any]:
    """Write results.json, results.md and report.html into `folder`; return what results.json holds.

    The page holds report text, so it is as private as the reports. The other two hold figures only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results, scored = gather(runs)
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (folder / "results.md").write_text(markdown(results), "utf-8")
    mistakes = {
        run.folder.name: [_mistake(row, annotated) for row in worst(scored[run.folder.as_posix()])]
        for run, annotated in runs
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "p_value": p_value}
    page = environment.get_template("report.html.jinja").render(
        results=results,
        mistakes=mistakes,
        columns=COLUMNS,
        table=table,
        study=STUDY,
        result_names=RESULTS,
        picture=_picture,
    )
    (folder / "report.html").write_text(page, "utf-8")
    return results


def _picture(kind: str, data: Mapping[str, Any]) -> Markup:
    """Draw one of the page's pictures; matplotlib escapes the labels in it."""
    drawn = {
        "confusion": lambda: plots.confusion(data["labels"], data["columns"], data["confusion"]),
        "reliability": lambda: plots.reliability(data["reliability"]),
        "risk_coverage": lambda: plots.risk_coverage(data["risk_coverage"], ERROR),
    }[kind]()
    return Markup(drawn)  # noqa: S704


def _mistake(row: Scored, annotated: AnnotatedSet) -> dict[str, Any]:
    """A wrong answer with its report, in which the cited sentence is marked and gold evidence is underlined."""
    case = next(case for case in annotated.cases if case.id == row.case)
    likely = sorted((row.given.distribution or {}).items(), key=lambda item: -item[1])[:4]
    return {
        "case": case.id,
        "path": row.path,
        "gold": _shown(row.gold),
        "given": _shown(row.given.value),
        "result": RESULTS[row.result] if row.result else None,
        "probability": row.given.probability,
        "likely": likely,
        "text": _marked(case.text, row.given.evidence, case.evidence.get(row.path, ())),
    }


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def _marked(text: str, cited: tuple[int, int] | None, quotes: Sequence[str]) -> Markup:
    """Escape a text around `<mark>` and `<u>`, cut wherever one of them starts or ends."""
    gold = [(start, start + len(quote)) for quote in quotes if (start := text.find(quote)) >= 0]
    spans = [*gold, *([cited] if cited else [])]
    cuts = sorted({0, len(text), *(place for span in spans for place in span)})
    parts = []
    for start, end in pairwise(cuts):
        piece = escape(text[start:end])
        if any(a <= start and end <= b for a, b in gold):
            piece = f"<u>{piece}</u>"
        if cited and cited[0] <= start and end <= cited[1]:
            piece = f"<mark>{piece}</mark>"
        parts.append(piece)
    return Markup("".join(parts))  # noqa: S704
