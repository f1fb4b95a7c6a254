"""What a row of the output depends on besides its report. A run whose rows would differ does not go on."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from extractor import __version__
from extractor.pipeline import Extractor
from extractor.prompt import PromptBook
from extractor.result import Decode
from schemas import lock
from schemas.version import SchemaVersion


def of_code(schema: SchemaVersion, decode: Decode) -> dict[str, Any]:
    """Return what of the code and its data a result depends on."""
    book = PromptBook.load(schema.ref, schema.prompts)
    prompt = json.dumps([book.base, book.own], sort_keys=True, default=str)
    return {
        "extractor": __version__,
        "schema": {"ref": schema.ref, "sha256": _sha256(lock.text(schema))},
        "prompt": {"ref": book.ref, "sha256": _sha256(prompt)},
        "decode": decode,
    }


def of_model(reader: Extractor) -> dict[str, Any]:
    """Return what of the opened model a result depends on."""
    info = asdict(reader.info)
    made = {name: info[name] for name in ("model", "weights_sha256", "precision", "adapter", "engine")}
    beside = {"wording": reader.wording, "calibration": reader.calibrations}
    return made | {name: str(one) if one else None for name, one in beside.items()}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
