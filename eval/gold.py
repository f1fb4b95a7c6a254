"""Annotated sets by name, and what they hold under any version of a schema."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from eval.cases import SETS, Case, read
from extractor.compile import compile_form
from extractor.errors import InputError, NotFoundError
from extractor.form import Form, Leaf, Members
from extractor.pipeline import find_schema
from extractor.prompt import PromptBook
from schemas.migrate import MigrationError, Way, ways


@dataclass(frozen=True)
class AnnotatedSet:
    """A set that was read: `labelled` are the paths its gold speaks of, where it does not speak of all, and `schema`
    is what it is labelled for, where that is none of the package's.
    """

    name: str
    folder: Path
    cases: tuple[Case, ...]
    labelled: frozenset[str] | None = None
    schema: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256((self.folder / "reports.jsonl").read_bytes()).hexdigest()

    def only(self, texts: Collection[str]) -> "AnnotatedSet":
        """The same set, less the reports whose text is not one of these."""
        return replace(self, cases=tuple(case for case in self.cases if case.text in texts))

    def gold(self, case: Case, ref: str) -> dict[str, Any]:
        """Gold by dotted path under the schema `ref`; a field that nobody labelled is left out.

        Raises:
            InputError: the set holds a label that the schema does not have, or is labelled for another.
            NotFoundError: the schema that it is labelled for is not known.
        """
        values = case.values()
        if self.labelled is not None:
            values = {path: value for path, value in values.items() if path in self.labelled}
        return under(values, ref, self.schema)

    def labelled_for(self, ref: str) -> bool:
        """Whether gold can be had under the schema `ref`."""
        try:
            golds = [self.gold(case, ref) for case in self.cases]
        except InputError:
            return False
        return any(golds)


def load(name: str, out: Path) -> AnnotatedSet:
    """Read a set: one of this package's by its name, one imported under `out`, or any folder.

    Raises:
        NotFoundError: no such set.
        InputError: a line of it is wrong; the message names all such lines.
    """
    places = (SETS / name, out / "sets" / name, Path(name))
    folder = next((place for place in places if (place / "reports.jsonl").is_file()), None)
    if folder is None:
        known = sorted(
            file.parent.name for root in places[:2] for file in root.parent.glob("*/reports.jsonl")
        )
        raise NotFoundError(
            "No set has that name, and no folder there holds reports.jsonl.",
            code="set_unknown",
            field="--sets",
            fix=f"Known: {', '.join(known) or 'none'}. To make one: python -m eval import",
        )
    try:
        cases = read(folder)
    except ValueError as error:
        raise InputError(str(error), code="set_invalid", field="--sets") from None
    about = folder / "set.json"
    said = json.loads(about.read_text("utf-8")) if about.is_file() else {}
    labelled = frozenset(said["labelled"]) if said else None
    return AnnotatedSet(folder.resolve().name, folder, tuple(cases), labelled, said.get("schema"))


def book(ref: str) -> PromptBook:
    """Return what a released schema's fields are called and mean. Raises `NotFoundError`."""
    return PromptBook.load(ref, find_schema(ref).prompts)


@cache
def form(ref: str) -> Form:
    """Return the compiled form of a released schema. Raises `NotFoundError`."""
    return compile_form(find_schema(ref).model)


def under(values: Mapping[str, Any], ref: str, source: str | None = None) -> dict[str, Any]:
    """Carry gold, by path of the newest versions or of `source`, to the schema `ref`, as a result would be migrated.

    Gold may be partial, which a result is not: so this follows the migrations field by field.
    """
    target = find_schema(ref)
    now = dict(values)
    if "diagnosis" in now:
        now["primary"] = now["diagnosis"]  # its name in cmr-diagnosis@3
    kept = {
        path: _along(way, now[way.path])
        for path, way in _ways(source or target.name, ref).items()
        if way.path in now and (isinstance(now[way.path], list) or now[way.path] not in way.refused)
    }
    for leaf in form(ref).leaves():
        if leaf.path in kept and not _allowed(leaf, kept[leaf.path]):
            raise InputError(
                f"The set holds a label that {ref} does not have.",
                code="set_other_labels",
                field=leaf.path,
                fix="Score it under the schema it was labelled for: --schema",
            )
    return kept


@cache
def _ways(source: str, ref: str) -> dict[str, Way]:
    try:
        return ways(find_schema(source), find_schema(ref))
    except MigrationError as error:
        raise InputError(
            f"The set is labelled for {source}, which does not lead to {ref}: {error.reason}.",
            code="set_other_schema",
            field="--schema",
            fix=f"Score it under the schema it was labelled for: --schema {source}",
        ) from None


def _along(way: Way, value: Any) -> Any:
    if isinstance(value, list):
        return [way.labels.get(one, one) for one in value]
    return way.labels.get(value, value)


def _allowed(leaf: Leaf | Members, value: Any) -> bool:
    if isinstance(leaf, Members):
        return set(value) <= {option.value for option in leaf.labels}
    return leaf.kind != "category" or value in {option.value for option in leaf.options}
