"""The main path: report in, `Extraction` out, many reports at a time on one engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from extractor.engine.base import Engine, EngineInfo
from extractor.errors import ExtractorError
from extractor.result import Decode, Extraction


@dataclass(frozen=True)
class Job:
    """One report to read. `repr` never shows the text."""

    text: str
    schema: str = "cmr-report@1"
    decode: Decode = "choice"
    distribution: bool = False
    id: str | None = None

    def __repr__(self) -> str:
        return f"Job(id={self.id!r}, schema={self.schema!r}, decode={self.decode!r}, {len(self.text)} characters)"


class Extractor:
    """Turns reports into validated categories with one engine. Not thread-safe: one caller at a time."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def info(self) -> EngineInfo:
        return self.engine.info

    def prepare(self, schema: str) -> None:
        """Compile the schema's plan and put its instructions into the engine's prefix cache."""
        raise NotImplementedError

    def extract(self, jobs: Sequence[Job]) -> list[Extraction | ExtractorError]:
        """Answer every job in order; a job that failed is an error in its own place, the others still answer."""
        raise NotImplementedError
