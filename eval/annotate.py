"""An empty sheet for a human reader, and the filled one as a run that scores beside the models.

A row without a diagnosis has not been read and is left out; in a row that was read, an empty cell is `not_stated`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.answers import Given
from eval.gold import AnnotatedSet, form
from eval.importer import WrongCell, cell_value
from eval.sheets import read, write
from eval.summary import headline
from eval.systems import Kinds, Outcome
from extractor.errors import InputError
from extractor.form import Members
from schemas.fields import NOT_STATED


def export(annotated: AnnotatedSet, ref: str, path: Path) -> None:
    """Write a sheet with every report and an empty column for each field; gold stays out of it."""
    leaves = list(form(ref).leaves())
    blank = {leaf.path: None for leaf in leaves}
    choices = {
        leaf.path: [option.label for option in leaf.options]
        for leaf in leaves
        if not isinstance(leaf, Members) and leaf.kind == "category"
    }
    write(path, [{"id": case.id, "text": case.text} | blank for case in annotated.cases], choices)


class Reader:
    """A human reader, as a system: answers by text, as they stand in a filled sheet."""

    kind: ClassVar[Kinds] = "reader"
    decode: str | None = None
    batch: ClassVar[int] = 1

    def __init__(self, name: str, annotated: AnnotatedSet, ref: str, path: Path) -> None:
        self.name = f"reader {name}"
        self.maker: dict[str, Any] = {
            "reader": name,
            "schema": ref,
            "sheet": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        self._by_text = _filled(annotated, ref, path)

    @property
    def read(self) -> frozenset[str]:
        """The texts that the reader has read."""
        return frozenset(self._by_text)

    def answer(self, texts: Sequence[str]) -> list[Outcome]:
        return [Outcome(self._by_text[text]) for text in texts]


def _filled(annotated: AnnotatedSet, ref: str, path: Path) -> dict[str, dict[str, Given]]:
    texts = {case.id: case.text for case in annotated.cases}
    rows = read(path)
    wrong: list[str] = []
    answers: dict[str, dict[str, Given]] = {}
    for number, row in enumerate(rows, 2):
        if row.get(headline(ref)) in (None, "", NOT_STATED):
            continue
        if str(row.get("id")) not in texts:
            wrong.append(f"row {number}, column id: no report of this set")
            continue
        try:
            answers[texts[str(row["id"])]] = {
                leaf.path: Given(value=cell_value(leaf, row.get(leaf.path), leaf.path, {}))
                for leaf in form(ref).leaves()
                if leaf.path in row
            }
        except WrongCell as error:
            wrong.append(f"row {number}, column {error.column}: {error.what}")
    if wrong or not answers:
        raise InputError(
            f"{path.name}: {'; '.join(wrong[:10]) or 'no report has been read'}.",
            code="sheet_invalid",
            fix="Correct the sheet; a row without a diagnosis counts as not read.",
        )
    return answers
