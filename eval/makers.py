"""What an answer depends on beside the text, as hashes: a change of any of it means another run."""

from pathlib import Path

import extractor
import prompts
import schemas
from eval.answers import fingerprint
from extractor.engine.base import EngineInfo
from extractor.pipeline import find_schema
from extractor.store.cache import files_sha256

# The layers above extractor.pipeline, by the import contracts: they cannot change what a report is read as.
_ABOVE = frozenset(
    {
        *("api", "batch", "client", "fhir", "static"),
        *("__main__.py", "cli.py", "files.py", "migration.py", "options.py", "prompt_file.py"),
        *("schema_commands.py", "site.py", "table.py", "terminal.py"),
    }
)


def code_sha256() -> str:
    """The code that reads reports, and the schemas."""
    own, ours = Path(extractor.__path__[0]), Path(schemas.__path__[0])
    files = [file for file in own.rglob("*.py") if file.relative_to(own).parts[0] not in _ABOVE]
    return fingerprint(files_sha256(own, files), files_sha256(ours, ours.rglob("*.py")))


def prompts_sha256(ref: str) -> str:
    """All prompt files of this package, as one may build on another, and of the schema's own folder."""
    folders = [Path(prompts.__path__[0]), find_schema(ref).prompts]
    return fingerprint([files_sha256(folder, folder.glob("*.toml")) for folder in folders if folder])


def reader(ref: str) -> dict[str, str | None]:
    """What every answer under a schema depends on."""
    return {
        "schema": ref,
        "schema_json": fingerprint(find_schema(ref).model.model_json_schema()),
        "prompts": prompts_sha256(ref),
        "code": code_sha256(),
    }


def language_model(info: EngineInfo, ref: str, decode: str) -> dict[str, str | None]:
    """What a language model's answers depend on."""
    return reader(ref) | {
        "model": info.model,
        "weights": info.weights_sha256,
        "precision": info.precision,
        "adapter": info.adapter,
        "engine": info.engine,
        "decode": decode,
    }
