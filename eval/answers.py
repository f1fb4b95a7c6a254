"""What a system answered, kept so that finished work is never repeated and never lost.

A run is a folder: `run.json` says what made its answers, `answers.jsonl` holds one report a line. No line holds
report text: evidence and numbers are kept as character offsets.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from extractor.errors import NotFoundError

FAILED = "(failed)"
"""Stands for an answer that could not be read, or a report that could not be answered: always wrong."""

Span = tuple[int, int]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Given(_Line):
    """One field's answer. `value` is a label, a list of labels, a number in the field's unit, or `not_stated`.

    `probability` is None where the system gives none. `evidence` is a span of the report.
    """

    value: Any
    probability: float | None = None
    status: str = "answered"
    evidence: Span | None = None
    distribution: dict[str, float] | None = None


class Record(_Line):
    """One finished report. `seconds` is its share of its batch; `error` a code, never a message."""

    key: str
    case: str
    repeat: int = 0
    answers: dict[str, Given]
    error: str | None = None
    seconds: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class About(_Line):
    """What `run.json` says. `maker` is everything that the answers depend on, beside the text."""

    system: str
    kind: str
    set: str
    folder: str
    schema_ref: str
    decode: str | None
    maker: dict[str, Any]
    started: str
    machine: str


def fingerprint(*parts: Any) -> str:
    """Return the sha256 of JSON data, the same for the same data in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Run:
    """A run's folder, open for reading and for adding."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder = folder
        self.about = about
        self.records = {record.key: record for record in _read(folder / "answers.jsonl")}

    @classmethod
    def start(cls, out: Path, about: About) -> "Run":
        """Open the run that `about` describes; one that was stopped goes on, another maker has another folder."""
        name = f"{about.system}--{about.schema_ref}--{fingerprint(about.maker)[:10]}"
        folder = out / "runs" / about.set / name.replace("/", "_").replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "run.json"
        if not file.is_file():
            draft = file.with_suffix(".part")
            draft.write_text(about.model_dump_json(indent=1), "utf-8")
            draft.replace(file)
        return cls(folder, About.model_validate_json(file.read_text("utf-8")))

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """Raises `NotFoundError` where the folder holds no run."""
        try:
            about = About.model_validate_json((folder / "run.json").read_text("utf-8"))
        except (OSError, ValidationError):
            raise NotFoundError(
                f"{folder} is no folder of a run.", code="run_unknown", fix="They lie in .eval/runs/SET/."
            ) from None
        return cls(folder, about)

    def key(self, text: str, repeat: int = 0) -> str:
        """The key of an answer: any change of what made it, or of the text, gives another one."""
        return fingerprint(self.about.maker, text, repeat)

    def add(self, record: Record) -> None:
        """Append a line in one write and wait for the disk: a kill leaves whole lines and at most one torn one."""
        line = record.model_dump_json(exclude_defaults=True).encode() + b"\n"
        file = os.open(self.folder / "answers.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        self.records[record.key] = record

    def of(self, texts: Mapping[str, str], repeat: int = 0) -> dict[str, Record]:
        """The answers, by case id, to these texts (by case id) as they are now."""
        found = {id_: self.records.get(self.key(text, repeat)) for id_, text in texts.items()}
        return {id_: record for id_, record in found.items() if record is not None}


def _read(file: Path) -> list[Record]:
    """Read whole lines; a torn last one is cut off the file, so that the next line starts on its own."""
    if not file.is_file():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(file, len(whole))
    return [Record.model_validate_json(line) for line in whole.splitlines()]
