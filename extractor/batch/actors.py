"""What reads on a Ray cluster: one engine an actor, a chunk of texts in, their records out.

Nothing here raises, prints or logs what a report says: Ray keeps errors and logs on all its machines.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from extractor import site
from extractor.batch import facts
from extractor.batch.output import Output
from extractor.batch.run import records
from extractor.errors import EngineError, ExtractorError
from extractor.options import vllm_says
from extractor.pipeline import find_schema, open_extractor
from extractor.result import Decode
from extractor.terminal import own_terminal


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every reader is asked. Folders are those of the machine that it runs on; `made_by` is of `code_facts`."""

    schema: str
    decode: Decode
    made_by: bytes
    output: Path
    probabilities: bool
    model: str | None
    urls: tuple[str, ...]
    places: tuple[str, ...]
    verbose: bool


def code_facts(schema: str, decode: Decode) -> bytes:
    """Return what of this machine's code and data a result depends on, to be compared with another machine's."""
    return orjson.dumps(facts.of_code(find_schema(schema), decode), option=orjson.OPT_SORT_KEYS)


class Reader:
    """One engine in an actor's process. Ray makes it, and makes it again where its process died."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        vllm_says(verbose=asked.verbose)
        self._quiet = ExitStack()
        self._quiet.enter_context(own_terminal(verbose=asked.verbose))  # Ray would keep what vLLM prints
        self._failed: bytes | None = None
        try:
            self._open()
        except Exception as error:  # noqa: BLE001  the process boundary; its message may quote a report
            self._failed = _failure(error)

    def _open(self) -> None:
        asked = self._asked
        site.load(*asked.places)
        if code_facts(asked.schema, asked.decode) != asked.made_by:
            raise EngineError(
                "A machine of the cluster has another extractor, schema or prompt than this one.",
                code="cluster_differs",
                fix="Install the same on all machines.",
            )
        self._output = Output(asked.output, find_schema(asked.schema).model, asked.probabilities)
        self._extractor = open_extractor(asked.model, asked.urls)

    def __call__(self, table: Any) -> Any:
        """Turn a table's chunks into their answers."""
        import pyarrow as pa

        read = [self._answer(chunk) for chunk in table["rows"].to_pylist()]
        return pa.table({"number": table["number"], "rows": pa.array(read, pa.large_binary())})

    def _answer(self, chunk: bytes) -> bytes:
        if self._failed or not chunk:
            return self._failed or b""
        try:
            asked, texts = self._asked, unpacked(chunk)
            found = list(records(self._extractor, self._output, asked.schema, asked.decode, texts))
            return orjson.dumps({"model": facts.of_model(self._extractor), "records": found})
        except Exception as error:  # noqa: BLE001  the process boundary; its message may quote a report
            return _failure(error)


def _failure(error: Exception) -> bytes:
    if not isinstance(error, ExtractorError):
        error = EngineError(f"Unexpected {type(error).__name__} on the cluster.", code="internal_error")
    said = {"detail": error.detail, "code": error.code, "field": error.field, "fix": error.fix}
    return orjson.dumps({"failed": said})


def packed(texts: Sequence[tuple[str, str]]) -> bytes:
    """Write ids and texts as a chunk. `json`, since a text may hold what is no Unicode, which its reader reports."""
    return json.dumps(texts).encode()


def unpacked(chunk: bytes) -> list[tuple[str, str]]:
    return [(id_, text) for id_, text in json.loads(chunk)]
