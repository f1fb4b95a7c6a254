"""A site's prompt files, checked before they are used: what names nothing in its schema is a slip, not a wish."""

import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from pydantic import Field, ValidationError

from extractor.cutoffs import Cutoff
from extractor.errors import SchemaError
from extractor.form import Form, Leaf, Members
from extractor.prompt import PromptBook
from schemas.fields import Schema


class FieldEntry(Schema):
    """`[fields."a.path"]`: how a field is asked, and what numbers rule out of its labels. `like` names the field whose
    terms it shares.
    """

    cue: str = Field("", min_length=1)
    meaning: str = ""
    terms: tuple[str, ...] = ()
    like: str = ""
    labels: Mapping[str, str] = {}
    cutoffs: tuple[Cutoff, ...] = ()


class PromptFile(Schema):
    """One `NAME@VERSION.toml`. `words`, `kinds`, `labels` and `terms` go by the enum's name, then by its label."""

    ref: str = Field(alias="schema")
    version: int = 1
    extends: str | None = None
    words: Mapping[str, Mapping[str, str]] = {}
    kinds: Mapping[str, Mapping[str, Mapping[str, str]]] = {}
    labels: Mapping[str, Mapping[str, str]] = {}
    terms: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    fields: Mapping[str, FieldEntry] = {}


def check(folder: Path, forms: Mapping[str, Form]) -> None:
    """Check every prompt file of `folder`, whose schema versions `forms` holds by their references.

    Raises:
        SchemaError: for the first thing wrong, with the file, the key and the fix.
    """
    contents = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
    extended = {content.extends for content in contents.values()}
    for ref, content in contents.items():
        _check_ends(ref, contents)
        if ref in forms:
            _check_names(f"{ref}.toml", content, forms[ref])
        elif ref not in extended:
            fix = f"Name it after one of: {', '.join(forms)}."
            _refuse(f"{ref}.toml", "no schema of this folder has that name and version", fix)
    for ref, form in forms.items():
        _check_said(f"{ref}.toml", PromptBook.load(ref, folder), form)


def _refuse(where: str, detail: str, fix: str) -> NoReturn:
    raise SchemaError(detail, code="prompt_invalid", field=where, fix=fix)


def _read(path: Path) -> PromptFile:
    try:
        content = PromptFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except tomllib.TOMLDecodeError as error:
        _refuse(path.name, f"no TOML: {error}", "Mend the line.")
    except UnicodeDecodeError as error:
        _refuse(path.name, f"byte {error.start} is not valid UTF-8", "Save it as UTF-8.")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            inside = Cutoff if "cutoffs" in first["loc"] else FieldEntry
            entry = PromptFile if len(first["loc"]) == 1 else inside
            known = ", ".join(entry.model_json_schema()["properties"])
            _refuse(f"{path.name}, {key}", "there is no such key", f"Use one of: {known}.")
        _refuse(f"{path.name}, {key}", first["msg"], "Give it a value of that kind.")
    if content.ref != path.stem:
        fix = "The file's name is its schema's reference: mend either."
        _refuse(f"{path.name}, schema", f"it says {content.ref}", fix)
    return content


def _check_ends(ref: str, contents: Mapping[str, PromptFile]) -> None:
    seen: list[str | None] = [ref]
    while (below := contents.get(seen[-1] or "")) is not None:
        if below.extends in seen:
            _refuse(f"{ref}.toml, extends", "it comes back to a file before it", "Break the circle.")
        seen.append(below.extends)


def _check_names(file: str, content: PromptFile, form: Form) -> None:
    """Refuse a field's path, an enum or a label that the schema does not have."""
    leaves = {leaf.path: leaf for leaf in form.leaves()}
    lists = [leaf for leaf in leaves.values() if isinstance(leaf, Members)]
    for key, table, of in (
        ("words", content.words, leaves.values()),
        ("kinds", content.kinds, [leaf for leaf in leaves.values() if isinstance(leaf, Leaf)]),
        ("labels", content.labels, leaves.values()),
        ("terms", content.terms, lists),
    ):
        enums: defaultdict[str, set[str]] = defaultdict(set)
        for leaf in of:
            enums[leaf.labels_of or ""] |= _labels(leaf)
        _check_known(f"{file}, {key}", table, enums)
        for enum, labels in table.items():
            _check_known(f"{file}, {key}.{enum}", labels, enums[enum])
    _check_known(f"{file}, fields", content.fields, leaves)
    measurements = [leaf.path for leaf in leaves.values() if isinstance(leaf, Leaf) and leaf.measure]
    for path, entry in content.fields.items():
        _check_known(f'{file}, fields."{path}".labels', entry.labels, _labels(leaves[path]))
        for cutoff in entry.cutoffs:
            where = f'{file}, fields."{path}".cutoffs'
            _check_known(f"{where}.of", [cutoff.of], measurements)
            _check_known(f"{where}.rules_out", cutoff.rules_out, _labels(leaves[path]))


def _check_known(where: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            near = ", ".join(get_close_matches(name, filter(None, known), cutoff=0))
            fix = f"Nearest: {near}." if near else "Take it out."
            _refuse(f"{where}.{name}", "the schema has nothing of that name", fix)


def _labels(leaf: Leaf | Members) -> set[str]:
    return {option.label for option in (leaf.labels if isinstance(leaf, Members) else leaf.options)}


def _check_said(file: str, book: PromptBook, form: Form) -> None:
    """Refuse two fields or two labels that the model would read alike, terms taken from nowhere, and cut-offs that come too late."""
    fields = book.own.get("fields", {})
    for path, entry in fields.items():
        _check_known(f'{file}, fields."{path}".like', filter(None, [entry.get("like")]), fields)
    _check_apart(f"{file}, fields", [(leaf.path, book.cue(leaf.path, form)) for leaf in form.leaves()])
    cutoffs = book.cutoffs(form)
    for leaf in form.leaves():
        said = [
            (label, word)
            for label in sorted(_labels(leaf))
            for word in (book.word(leaf, label), *book.kinds(leaf, label))
        ]
        _check_apart(f"{file}, words.{leaf.labels_of}", said)
        if leaf.gate and leaf.gate.path in cutoffs:
            says = f"{leaf.path} is asked by its answer, before its number is known"
            _refuse(f'{file}, fields."{leaf.gate.path}".cutoffs', says, "Take either out.")


def _check_apart(where: str, said: Iterable[tuple[str, str]]) -> None:
    first: dict[str, str] = {}
    for name, words in said:
        twin = first.setdefault(words.casefold(), name)
        if twin != name:
            fix = "Give one of them a cue or a word of its own."
            _refuse(f"{where}.{name}", f"it reads the same as {twin}", fix)
