"""The one file that a batch leaves behind, in the form that its name asks for."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel

from extractor.api.models import outcome_to_json
from extractor.batch import flat
from extractor.batch.rows import needed, unwritable
from extractor.errors import ExtractorError
from extractor.result import Extraction

_ROW_GROUP = 4096

Records = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Output:
    """JSON lines hold what the API returns; CSV and Parquet hold flat rows (`extractor.batch.flat`).

    Raises:
        InputError: what writes Parquet is not installed.
        SchemaError: the schema has no flat form.
    """

    path: Path
    model: type[BaseModel]
    probabilities: bool = False
    columns: Mapping[str, flat.Cells] = field(init=False)

    def __post_init__(self) -> None:
        columns = {} if self._nested else flat.columns(self.model, probabilities=self.probabilities)
        object.__setattr__(self, "columns", columns)
        if self.path.suffix.lower() == ".parquet":
            needed("pyarrow.parquet", "pyarrow")

    @property
    def _nested(self) -> bool:
        return self.path.suffix.lower() == ".jsonl"

    @property
    def form(self) -> dict[str, Any]:
        """What of this output the records depend on."""
        return {"suffix": self.path.suffix.lower(), "probabilities": self.probabilities}

    def record(self, id_: str, outcome: Extraction | ExtractorError) -> dict[str, Any]:
        """Return what the output will hold of one report."""
        answer = outcome_to_json(outcome, id_)
        return answer if self._nested else flat.row(self.model, answer, probabilities=self.probabilities)

    def write(self, records: Records, made_by: Mapping[str, Any]) -> None:
        """Write all records; the file appears whole or not at all. `made_by` goes into a Parquet file's metadata."""
        partial = self.path.with_name(f"{self.path.name}.partial")
        try:
            _WRITERS[self.path.suffix.lower()](partial, records, self.columns, made_by)
            _to_disk(partial)
            partial.replace(self.path)
            _to_disk(self.path.parent)
        except OSError as error:
            raise unwritable(self.path, error) from None


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _jsonl(path: Path, records: Records, _columns: object, _made_by: object) -> None:
    with path.open("wb") as file:
        for record in records:
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


def _csv(path: Path, records: Records, columns: Mapping[str, flat.Cells], _made_by: object) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for record in records:
            writer.writerow([_plain(name, record[name]) for name in columns])


def _plain(name: str, value: Any) -> Any:
    """Write a cell as `extractor` writes it elsewhere; a sentence that a spreadsheet takes for a formula as text."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return "|".join(value)
        case str() if value[:1] in {"=", "+", "-", "@", "\t"} and name != "id":
            return f" {value}"
    return value


def _parquet(
    path: Path, records: Records, columns: Mapping[str, flat.Cells], made_by: Mapping[str, Any]
) -> None:
    arrow, parquet = needed("pyarrow", "pyarrow"), needed("pyarrow.parquet", "pyarrow")
    types = {
        "text": arrow.string(),
        "number": arrow.float64(),
        "whole": arrow.int64(),
        "flag": arrow.bool_(),
        "labels": arrow.list_(arrow.string()),
    }
    schema = arrow.schema(
        [(name, types[holds]) for name, holds in columns.items()],
        metadata={"extractor": orjson.dumps(made_by)},
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for group in _groups(iter(records)):
            writer.write_table(arrow.Table.from_pylist(group, schema))


def _groups(records: Iterator[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    while group := list(islice(records, _ROW_GROUP)):
        yield group


_WRITERS: Final[
    Mapping[str, Callable[[Path, Records, Mapping[str, flat.Cells], Mapping[str, Any]], None]]
] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
