"""Whether the numbers that a report states are among a field's options at all: python -m benchmarks.numbers [SET ...]

What code does not offer, no model can choose. Needs no model; intervals are 95 %, by bootstrap over reports.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from eval.gold import AnnotatedSet, book, form, load
from eval.intervals import share_interval
from eval.scoring import same
from extractor.form import Leaf, Option
from extractor.plan import bind
from extractor.report import Report
from schemas.fields import NOT_STATED

SETS = ("cmr-numbers", "cmr-snippets", "cmr-calibration", "cmr-109")


@dataclass(frozen=True)
class Asked:
    """A field of a report: the number that it states, if any, and those that are offered, best first."""

    report: str
    stated: float | None
    offered: tuple[float, ...]

    def found(self, most: int | None = None) -> bool:
        """Whether the stated number is among the first options."""
        return self.stated is not None and any(same(one, self.stated) for one in self.offered[:most])


def asked(annotated: AnnotatedSet, ref: str) -> Iterator[Asked]:
    """Every measurement of every report that has them labelled."""
    terms = book(ref).terms(form(ref))
    for case in annotated.cases:
        gold = annotated.gold(case, ref)
        plan = bind(form(ref), Report.parse(case.text), terms)
        for question in plan.questions:
            leaf = question.leaf
            if isinstance(leaf, Leaf) and leaf.kind == "quantity" and question.path in gold:
                stated = gold[question.path]
                offered = tuple(map(_number, question.options[:-1]))
                yield Asked(case.cluster, None if stated == NOT_STATED else stated, offered)


def _number(option: Option) -> float:
    return float(option.value["value"])


def share(several: list[Asked], right: list[bool]) -> str:
    low, high = share_interval(right, [one.report for one in several]) or (0, 0)
    return f"{sum(right)} of {len(right)}, {sum(right) / len(right):.3f} ({low:.3f} to {high:.3f})"


@click.command()
@click.argument("sets", nargs=-1)
@click.option("--schema", default="cmr-report@1", show_default=True, help="Whose measurements.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(".eval"), show_default=True, help="Where imported sets are.")  # fmt: skip
def main(sets: tuple[str, ...], schema: str, out: Path) -> None:
    """Print a row for each set."""
    click.echo(
        "| set | reports | stated numbers offered | offered first | silent fields that are offered one |"
    )
    click.echo("| --- | --- | --- | --- | --- |")
    for name in sets or SETS:
        annotated = load(name, out)
        fields = list(asked(annotated, schema))
        stated = [one for one in fields if one.stated is not None]
        silent = [one for one in fields if one.stated is None]
        found, first = (share(stated, [one.found(most) for one in stated]) for most in (None, 1))
        extra = share(silent, [bool(one.offered) for one in silent])
        reports = len({one.report for one in fields})
        click.echo(f"| {name} | {reports} | {found} | {first} | {extra} |")


if __name__ == "__main__":
    main()
