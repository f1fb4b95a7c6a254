"""A finished checkpoint: how it is built from the published file, and how one knows that it is whole."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from extractor.errors import StoreError
from extractor.store.cache import Shelf, disk_full
from extractor.store.manifest import CONVERTER, File
from extractor.store.progress import Advance, Progress

WEIGHTS: Final = "model.safetensors"


def provenance(shelf: Shelf) -> dict[str, Any]:
    """Return the checkpoint's provenance.json, empty if it is missing or damaged."""
    try:
        loaded = json.loads((shelf.int8 / "provenance.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def complete(shelf: Shelf, gguf: File) -> bool:
    """Whether the checkpoint is there, whole, of this GGUF file and this converter. Sizes only, no hashing."""
    found = provenance(shelf)
    return (
        found.get("gguf_sha256") == gguf.sha256
        and found.get("converter") == CONVERTER
        and all(
            (file := shelf.int8 / name).is_file() and file.stat().st_size == known["size"]
            for name, known in found["files"].items()
        )
    )


def build(shelf: Shelf, gguf: File, int8: File, progress: Progress) -> None:
    """Convert `shelf.source` and compare the result with the manifest.

    A process of its own does it, so that its memory is returned and its death leaves no half checkpoint.
    Raises StoreError: `weights_conversion_failed`, `weights_hash_mismatch`, `disk_full`.
    """
    shutil.rmtree(shelf.int8, ignore_errors=True)
    with progress("converting to int8", int8.size) as advance:
        _run(shelf, advance)
    found = provenance(shelf)
    if found["gguf_sha256"] != gguf.sha256:
        shelf.source.unlink()
    elif found["files"][WEIGHTS]["sha256"] == int8.sha256:
        return
    shutil.rmtree(shelf.int8)
    raise StoreError(
        "The converted weights are not the ones that this release was tested with; they were deleted.",
        code="weights_hash_mismatch",
        fix="Pull again. If it happens twice, this machine's memory or disk may be faulty.",
    )


def _run(shelf: Shelf, advance: Advance) -> None:
    """Run the converter, which prints the bytes it writes and, if it fails, ends with the reason on stderr."""
    command = [sys.executable, "-m", "extractor.store.convert", str(shelf.source), str(shelf.int8)]
    log = shelf.root / "convert.log"
    with (
        log.open("wb") as errors,
        # close_fds=False: the child inherits the lock of cache.locked and nothing else of ours.
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, close_fds=False, env=_environment()
        ) as child,
    ):
        for line in child.stdout or ():
            advance(int(line))
    said = log.read_text(errors="replace").strip()
    log.unlink()
    if child.returncode == 0:
        return
    if "No space left" in said:
        raise disk_full(f"The disk of {shelf.root} became full.")
    killed = child.returncode < 0
    reason = "the converter was killed" if killed else (said.splitlines() or ["it gave no reason"])[-1][:200]
    raise StoreError(
        f"The weights could not be converted: {reason}.",
        code="weights_conversion_failed",
        fix="Free some memory (3 GiB are enough), then pull again." if killed else None,
    )


def _environment() -> dict[str, str]:
    """The child needs no GPU and no network, and must find this very package."""
    here = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
