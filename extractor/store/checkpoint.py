"""A finished checkpoint: how it is built from the published file, and how one knows that it is whole."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extractor.errors import StoreError
from extractor.store.cache import Shelf, disk_full, sha256
from extractor.store.manifest import ADAPTER_WEIGHTS, CONVERTER, Adapter, File
from extractor.store.progress import Advance, Progress

WEIGHTS: Final = "model.safetensors"


@dataclass(frozen=True)
class Recipe:
    """What the checkpoint on `shelf` is made of: the file on `source` (another's shelf if there is an adapter).

    `gguf` and `int8` are what goes in and must come out, as the manifest pins them.
    """

    shelf: Shelf
    source: Shelf
    gguf: File
    int8: File
    adapter: Adapter | None = None


def provenance(shelf: Shelf) -> dict[str, Any]:
    """Return the checkpoint's provenance.json, empty if it is missing or damaged."""
    try:
        loaded = json.loads((shelf.int8 / "provenance.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def complete(recipe: Recipe) -> bool:
    """Whether the checkpoint is there, whole, by this recipe and converter. Sizes only, no hashing."""
    found = provenance(recipe.shelf)
    merged = (found.get("adapter") or {}).get("sha256")
    return (
        found.get("gguf_sha256") == recipe.gguf.sha256
        and found.get("converter") == CONVERTER
        and merged == (recipe.adapter.sha256 if recipe.adapter else None)
        and all(
            (file := recipe.shelf.int8 / name).is_file() and file.stat().st_size == known["size"]
            for name, known in found["files"].items()
        )
    )


def check_adapter(adapter: Adapter) -> None:
    """Raise StoreError (`adapter_hash_mismatch`) unless the adapter's file is the one that is pinned."""
    file = adapter.path / ADAPTER_WEIGHTS
    if not file.is_file() or sha256(file) != adapter.sha256:
        raise StoreError(
            f"The adapter {adapter.folder} of this installation is missing or is not the file that this "
            f"release pins (sha256 {adapter.sha256}).",
            code="adapter_hash_mismatch",
            fix="Install extractor again.",
        )


def build(recipe: Recipe, progress: Progress) -> None:
    """Convert the published file, adapter merged, and compare the result with the manifest.

    A process of its own does it, so that its memory is returned and its death leaves no half checkpoint.
    Raises StoreError: `weights_conversion_failed`, `weights_hash_mismatch`, `disk_full`.
    """
    shelf = recipe.shelf
    shutil.rmtree(shelf.int8, ignore_errors=True)
    with progress("converting to int8", recipe.int8.size) as advance:
        _run(recipe, advance)
    found = provenance(shelf)
    if found["gguf_sha256"] != recipe.gguf.sha256:
        recipe.source.source.unlink()
    elif found["files"][WEIGHTS]["sha256"] == recipe.int8.sha256:
        return
    shutil.rmtree(shelf.int8)
    raise StoreError(
        "The converted weights are not the ones that this release was tested with; they were deleted.",
        code="weights_hash_mismatch",
        fix="Pull again. If it happens twice, this machine's memory or disk may be faulty.",
    )


def _run(recipe: Recipe, advance: Advance) -> None:
    """Run the converter, which prints the bytes it writes and, if it fails, ends with the reason on stderr."""
    shelf = recipe.shelf
    paths = (recipe.source.source, shelf.int8, *([recipe.adapter.path] if recipe.adapter else []))
    command = [sys.executable, "-m", "extractor.store.convert", *map(str, paths)]
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
