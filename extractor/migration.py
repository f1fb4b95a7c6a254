"""Stored results under another schema version: the object, and what is said of each of its fields.

The provenance stays: it says what the model was asked. Only the result's own `schema` becomes the target.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from extractor.errors import InputError, NotFoundError
from extractor.result import Extraction, FieldResult
from schemas import registry
from schemas.leaves import Leaf, flatten, leaves
from schemas.migrate import MigrationError, Way, migrate, ways
from schemas.version import SchemaVersion

_RESULT = {"schema", "data", "fields", "provenance"}
_PARTS = {"id", "usage", *_RESULT}


def migrate_result(result: Extraction, target: SchemaVersion) -> Extraction:
    """Return `result` as one of `target`: fields renamed, labels mapped, what the target lacks dropped.

    Probabilities of labels that become one are summed where the distribution is known. Where it is not, a
    field keeps its label's own probability: a lower bound, since labels that were not chosen may mean the
    same in the target. The answer stays the one that was given, even where others that become one label are
    likelier together.

    Raises:
        NotFoundError: the result's schema version is unknown.
        InputError: it holds what the target cannot say, or is not valid.
    """
    try:
        source = registry.get(result.schema_)
    except registry.UnknownSchema as error:
        fix = f"Known: {', '.join(error.known)}."
        raise NotFoundError(
            "The result's version is unknown.", code="schema_unknown", field="schema", fix=fix
        ) from None
    data = _migrate(result.data, source, target)
    found, ours, theirs = ways(source, target), leaves(target.model), leaves(source.model)
    fields = {
        path: _field(result.fields[way.path], value, way, theirs[way.path], ours[path])
        for path, value in flatten(target.model, data).items()
        if (way := found[path]).path in result.fields
    }
    return result.model_copy(update={"schema_": target.ref, "data": data, "fields": fields})


def _migrate(data: Mapping[str, Any], source: SchemaVersion, target: SchemaVersion) -> dict[str, Any]:
    try:
        return migrate(data, source, target)
    except MigrationError as error:
        said = ": ".join(filter(None, (f"{error.source} to {error.target}", error.label, error.reason)))
        raise InputError(said, code="migration_refused", field=error.field, fix=error.fix) from None


def _field(field: FieldResult, value: Any, way: Way, origin: Leaf, leaf: Leaf) -> FieldResult:
    known = field.distribution
    moved = {"value": value, "distribution": None}
    if known is None:
        return field.model_copy(update=moved)
    if leaf.kind == "list":
        # It knows of no list but the chosen one, which may have become one with others.
        same = all(label == to for label, to in way.labels.items()) and value == field.value
        return field.model_copy(update=moved | {"distribution": known if same else None})
    summed: dict[str, float] = {}
    for label, probability in known.items():
        to = way.labels.get(label) if label in origin.labels else label
        if to is not None:
            summed[to] = summed.get(to, 0.0) + probability
        elif probability > 0:
            return field.model_copy(update=moved)
    chosen = leaf.label_of(value)
    probability = field.probability if chosen is None else min(1.0, summed.get(chosen, field.probability))
    return field.model_copy(update=moved | {"distribution": summed, "probability": probability})


def records(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield what a file of results holds, each with its place: its line, and its number in a list of results.

    The file is JSON or JSONL. What is no JSON is an `InputError` in its place.
    """
    try:
        yield from _several("1", orjson.loads(content))
    except orjson.JSONDecodeError:
        for number, line in enumerate(content.splitlines(), start=1):
            if line.strip():
                yield from _several(str(number), _parsed(line))


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        fix = "Give what `extractor extract --json` or the API printed."
        return InputError("This is not JSON.", code="json_invalid", fix=fix)


def _several(line: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value.keys() == {"results"}:
        value = value["results"]
    if isinstance(value, list):
        yield from ((f"{line}: results[{index}]", one) for index, one in enumerate(value))
    else:
        yield line, value


def migrate_record(record: Any, target: SchemaVersion, source: SchemaVersion | None = None) -> dict[str, Any]:
    """Return one record, as JSON data, under `target`: a result, bare data of `source`, or an error as it is.

    Raises `InputError` or `NotFoundError`, as `migrate_result` does.
    """
    if isinstance(record, InputError):
        raise record
    if not isinstance(record, dict):
        raise InputError("This is no JSON object.", code="json_invalid")
    if record.keys() == {"id", "error"}:
        return record
    if record.keys() >= _RESULT:
        try:
            return migrate_result(Extraction.model_validate(record), target).model_dump(
                mode="json", by_alias=True
            )
        except ValidationError as error:
            part = error.errors(include_input=False, include_url=False)[0]["loc"][0]
            field = str(part) if part in record.keys() & _PARTS else None
            raise InputError(
                "This is not a result of extractor.", code="result_invalid", field=field
            ) from None
    if source is None:
        fix = "Name the version of bare data with --from."
        raise InputError("This is not a result of extractor.", code="result_invalid", fix=fix)
    return _migrate(record, source, target)
