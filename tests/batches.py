"""What the tests of `extractor batch` share, with and without Ray."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from click.testing import CliRunner, Result

from extractor.cli import main
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction

CANARY = "Xylocanary"
"""Stands in reports, and may stand nowhere else."""
SCHEMA = "cmr-diagnosis@1"
SHORT = ["--schema", SCHEMA]


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["batch", *map(str, arguments)], prog_name="extractor")


def rows_done(journal: Path) -> int:
    return journal.read_bytes().count(b'{"row"') if journal.exists() else 0


def check_read_as_alone(output: Path, pairs: Sequence[tuple[str, str]], extractor: Extractor) -> None:
    """Every id and text of `pairs` is in the output once, in order, as `extractor` reads it by itself."""
    found = [orjson.loads(each) for each in output.read_bytes().splitlines()]
    assert [one["id"] for one in found] == [id_ for id_, _ in pairs]
    alone = extractor.extract([Job(text, SCHEMA, id=id_) for id_, text in pairs])
    for one, expected in zip(found, alone, strict=True):
        if isinstance(expected, Extraction):
            assert one["data"] == expected.data
        else:
            assert one["error"] == expected.problem()
