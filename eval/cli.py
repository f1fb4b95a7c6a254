"""`python -m eval`: scores systems on annotated reports. Results go to stdout, everything else to stderr."""

import gc
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from extractor.errors import InputError, NotFoundError
from extractor.options import listed, site_schemas
from extractor.terminal import Boundary, own_terminal

if TYPE_CHECKING:
    from eval.answers import Run
    from eval.gold import AnnotatedSet
    from eval.systems import System

SCHEMA = "cmr-report@1"
SET = "cmr-109"
TRAIN = "cmr-train"
BASELINES = ("majority", "keywords", "tfidf", "wording", "free")

_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".eval"),
    show_default=True,
    help="The folder for runs, imported sets and reports.",
)


def _pairs(_ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, str]:
    if any("=" not in value for value in values):
        raise click.BadParameter("needs a = in it", param=param)
    return dict(tuple(value.split("=", 1)) for value in values)  # type: ignore[misc]


@click.group(
    cls=Boundary,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--models", callback=listed, metavar="A,B", help="Ids or folders of models; the default model if none."
)
@click.option("--no-model", is_flag=True, help="Only the baselines that need no model.")
@click.option(
    "--sets", callback=listed, default=SET, show_default=True, metavar="X,Y", help="Names or folders of sets."
)
@click.option(
    "--decode",
    callback=listed,
    default="choice",
    show_default=True,
    help="choice, grammar, or both: choice,grammar.",
)
@click.option(
    "--schema", default=SCHEMA, show_default=True, metavar="NAME[@V]", help="What to read and score."
)
@click.option(
    "--baselines",
    callback=listed,
    default="majority,keywords,tfidf",
    show_default=True,
    help="Which to score beside; also: wording, the default model's second reader alone; free, the same model without a grammar. "
    "An empty string for none.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Read each report so often, in changing company.",
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many reports of a set.")
@click.option(
    "--url", "urls", multiple=True, metavar="URL", help="Ask a vLLM server; again for several servers."
)
@click.option("--verbose", "-v", is_flag=True, help="Show what vLLM and its libraries print, on stderr.")
@_OUT
@site_schemas
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Score models on annotated reports. Without a command: run, and finish with a table.

    Every finished report is kept: a run that was stopped goes on. Answers of another prompt, schema, model or code
    version are never taken for this one's.
    """
    if ctx.invoked_subcommand is None:
        _run(**options)


def _run(  # noqa: PLR0913  one parameter an option
    *,
    models: tuple[str, ...],
    no_model: bool,
    sets: tuple[str, ...],
    decode: tuple[str, ...],
    schema: str,
    baselines: tuple[str, ...],
    repeats: int,
    limit: int | None,
    urls: tuple[str, ...],
    verbose: bool,
    out: Path,
) -> None:
    from eval.gold import load
    from eval.progress import shown
    from eval.run import replay
    from extractor.pipeline import find_schema

    _known(decode, ("choice", "grammar"), "--decode")
    _known(baselines, BASELINES, "--baselines")
    if urls and "free" in baselines:
        raise click.BadParameter("free needs the model in this process, not --url", param_hint="--baselines")
    ref = find_schema(schema).ref
    chosen = [load(name, out) for name in sets]
    finished: list[tuple[Run, AnnotatedSet]] = []
    with own_terminal(verbose=verbose) as (results, messages):
        with shown(messages) as progress:

            def score(system: "System") -> None:
                finished.extend(
                    (replay(system, one, ref, out, repeats=repeats, limit=limit, progress=progress), one)
                    for one in chosen
                )

            for baseline in _plain_baselines(baselines, ref, out, messages):
                score(baseline)
            for model in () if no_model else models or (None,):
                _with_model(score, model, urls, ref, decode, free="free" in baselines)
                gc.collect()  # the next model needs this one's room
        finished.sort(key=lambda pair: [one.name for one in chosen].index(pair[1].name))
        _finish(finished, out / "report", results, messages)


def _known(given: Sequence[str], known: Sequence[str], option: str) -> None:
    if not set(given) <= set(known):
        raise click.BadParameter(f"known: {', '.join(known)}", param_hint=option)


def _plain_baselines(names: Sequence[str], ref: str, out: Path, messages: TextIO) -> "Iterator[System]":
    from eval.baselines import Keywords, Majority, TfIdf, Words
    from eval.gold import load
    from extractor.wording import find_wording

    learned = [kind for name, kind in (("majority", Majority), ("tfidf", TfIdf)) if name in names]
    if learned:
        try:
            train = load(TRAIN, out)
        except NotFoundError:
            click.echo(f"There is no set {TRAIN} to learn from: no majority class, no TF-IDF.", file=messages)
        else:
            if train.labelled_for(ref):
                yield from (kind(ref, train) for kind in learned)
            else:
                said = f"{TRAIN} is not labelled for {ref}: no majority class, no TF-IDF."
                click.echo(said, file=messages)
    if "keywords" in names:
        yield Keywords(ref)
    if "wording" in names and (found := find_wording(None)):
        yield Words(ref, found)


def _with_model(  # noqa: PLR0913  what is asked of it
    score: "Callable[[System], None]",
    model: str | None,
    urls: Sequence[str],
    ref: str,
    decode: Sequence[Any],
    *,
    free: bool,
) -> None:
    """Open a model once for all that is asked of it."""
    from eval.free import FreeRunning
    from eval.systems import LanguageModel
    from extractor.engine.local import LocalEngine
    from extractor.pipeline import open_extractor

    extractor = open_extractor(model, urls)
    try:
        for one in decode:
            score(LanguageModel(extractor, ref, one))
        if free and isinstance(extractor.engine, LocalEngine):
            score(FreeRunning(extractor.engine, ref))
    finally:
        extractor.engine.close()


def _finish(
    finished: "Sequence[tuple[Run, AnnotatedSet]]", folder: Path, results: TextIO, messages: TextIO
) -> None:
    from eval.report import markdown, write

    click.echo(markdown(write(finished, folder)), nl=False, file=results)
    where = ", ".join(str(folder / name) for name in ("report.html", "results.json", "results.md"))
    click.echo(f"\nWritten: {where}. The page quotes reports.", file=messages)


def _loaded(folders: Sequence[Path], out: Path) -> "list[tuple[Run, AnnotatedSet]]":
    from eval.answers import Run
    from eval.gold import load

    runs = [Run.load(folder) for folder in folders]
    return [(run, load(run.about.folder, out)) for run in runs]


def _runs_argument(command: Callable[..., None]) -> Callable[..., None]:
    kind = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.argument("runs", nargs=-1, required=True, type=kind, metavar="RUN…")(command)


@main.command()
@_runs_argument
@_OUT
def report(runs: tuple[Path, ...], out: Path) -> None:
    """Write the HTML page, results.json and the table of finished RUNs (folders under .eval/runs) again."""
    with own_terminal() as (results, messages):
        _finish(_loaded(runs, out), out / "report", results, messages)


@main.command()
@_runs_argument
@_OUT
def compare(runs: tuple[Path, ...], out: Path) -> None:
    """Compare RUNs of one set in pairs: exact McNemar, paired bootstrap, Holm's correction."""
    from eval.report import comparison

    if len(runs) < 2:
        raise click.UsageError("Name at least two runs.")
    click.echo(comparison(_loaded(runs, out)), nl=False)


@main.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="What to call the set.")
@click.option(
    "--map",
    "columns",
    multiple=True,
    callback=_pairs,
    metavar="FIELD=COLUMN",
    help="Which column holds a field; again for more.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_pairs,
    metavar="THEIRS=OURS",
    help="What a label of the file means; again for more.",
)
@click.option(
    "--where",
    multiple=True,
    callback=_pairs,
    metavar="COLUMN=VALUE",
    help="Only rows that hold this; again for more.",
)
@click.option(
    "--language", default="other", show_default=True, help="The reports' language, where no column says it."
)
@click.option(
    "--schema",
    metavar="NAME[@V]",
    help="A schema of your own that they are labelled for; else fields are those of cmr-report.",
)
@_OUT
def import_(  # noqa: PLR0913  one parameter an option
    *,
    file: Path,
    name: str,
    columns: dict[str, str],
    labels: dict[str, str],
    where: dict[str, str],
    language: str,
    schema: str | None,
    out: Path,
) -> None:
    """Make a set of your own reports from FILE: CSV, XLSX or JSON lines.

    \b
    python -m eval import ours.csv --name ours --map text=Report --map diagnosis=Diagnosis --label HOCM=hcm
    python -m eval --sets ours
    """
    from eval.importer import SET_SCHEMA, Mapped, import_table
    from extractor.pipeline import find_schema

    if not re.fullmatch(r"\w[\w.-]*", name):
        raise click.BadParameter("use letters, digits, - and _ only", param_hint="--name")
    mapped = Mapped(columns, labels, where, language, find_schema(schema).ref if schema else SET_SCHEMA)
    made = import_table(file, name, mapped, out / "sets")
    click.echo(f"{made.folder}: {made.kept} reports, gold for {', '.join(made.labelled)}.")
    if made.unwanted or made.ambiguous:
        click.echo(f"Left out: {made.unwanted} by --where, {made.ambiguous} without exactly one diagnosis.")


@main.command()
@click.argument("annotated", metavar="SET")
@click.argument("sheet", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--reader", metavar="NAME", help="SHEET is filled: score it as this reader's.")
@click.option(
    "--schema", default=SCHEMA, show_default=True, metavar="NAME[@V]", help="What the reader is asked."
)
@_OUT
def annotate(*, annotated: str, sheet: Path, reader: str | None, schema: str, out: Path) -> None:
    """Write an empty SHEET (.xlsx or .csv) of SET's reports for a human reader, or take a filled one.

    \b
    python -m eval annotate cmr-109 sheet.xlsx
    python -m eval annotate cmr-109 sheet.xlsx --reader cardiologist
    """
    from eval.annotate import Reader, export
    from eval.gold import load
    from eval.run import replay
    from extractor.pipeline import find_schema

    chosen, ref = load(annotated, out), find_schema(schema).ref
    if reader is None:
        if sheet.exists():
            raise InputError(
                f"{sheet.name} is there already.",
                code="sheet_exists",
                fix="Add --reader NAME to score it, or name another.",
            )
        export(chosen, ref, sheet)
        click.echo(f"{sheet}: {len(chosen.cases)} reports. Filled, it is scored with: --reader NAME")
        return
    if not sheet.is_file():
        raise NotFoundError("There is no such sheet.", code="sheet_missing", field="SHEET")
    human = Reader(reader, chosen, ref, sheet)
    run = replay(human, chosen.only(human.read), ref, out)
    _finish([(run, chosen)], out / "report", sys.stdout, sys.stderr)
    click.echo(f"Beside the models: python -m eval report {run.folder} RUN…", err=True)


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="SET…")
@_OUT
def check(names: tuple[str, ...], out: Path) -> None:
    """Check annotated SETs: gold against the text, against physiology, and near-duplicates between sets."""
    from itertools import combinations

    from eval.cases import problems
    from eval.gold import load
    from eval.leaks import copies, leaks

    sets = [load(name, out) for name in names]
    found = [
        f"{one.name}, {case.id}: {said}" for one in sets for case in one.cases for said in problems(case)
    ]
    alike = [(one, one, copies(one.cases)) for one in sets]
    alike += [(one, other, leaks(one.cases, other.cases)) for one, other in combinations(sets, 2)]
    for one, other, several in alike:
        found += [
            f"{one.name}, {leak.one}: near-duplicate of {leak.other} in {other.name}" for leak in several
        ]
    for problem in found:
        click.echo(problem)
    click.echo(
        ", ".join(f"{one.name}: {len(one.cases)} reports" for one in sets) + f"; {len(found)} problems",
        err=True,
    )
    if found:
        sys.exit(1)


@main.command()
@click.argument("name", metavar="SET")
@_OUT
def agreement(name: str, out: Path) -> None:
    """Print how far the two readers of SET agreed, before their differences were settled."""
    from eval.agreement import table
    from eval.gold import load

    folder = load(name, out).folder
    if not (folder / "second_reading.jsonl").is_file():
        raise NotFoundError("Nobody has read this set a second time.", code="reading_missing", field="SET")
    click.echo(table(folder))
