"""`wording.npz`: a wording as it lies beside the adapter."""

import hashlib
import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from extractor.errors import StoreError
from extractor.store import default_id, entry
from extractor.store.manifest import WORDING
from extractor.wording.linear import Linear
from extractor.wording.reader import Asked, Wording

FILE: Final = WORDING


def save(folder: Path, wording: Wording) -> None:
    """Write `wording.npz`, of a wording that is named as the set it was fitted on."""
    asked = {
        ref: {path: {"by": one.by, "labels": one.labels} for path, one in fields.items()}
        for ref, fields in wording.asked.items()
    }
    about = {"set": wording.name, "weights": wording.weights, "basis": wording.basis, "asked": asked}
    classes = {name: one.classes for name, one in wording.classifiers.items()}
    arrays: dict[str, Any] = {"about": _bytes(json.dumps(about | {"classes": classes}))}
    for name, one in wording.classifiers.items():
        arrays[f"{name}.features"] = _bytes("\n".join(one.columns))
        arrays[f"{name}.weights"] = one.weights.astype(np.float16)
        arrays[f"{name}.bias"] = one.bias
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / FILE, **arrays)


def load(folder: Path) -> Wording | None:
    """Read a folder's `wording.npz`; None where there is none. Raises `StoreError` where it is damaged."""
    try:
        return _read((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        why = error.strerror or type(error).__name__
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = type(error).__name__
    raise StoreError(
        f"{folder.name}/{FILE} cannot be read ({why}).",
        code="wording_unusable",
        fix="Restore it, or fit it again: python -m training wording",
    )


def _read(stored: bytes) -> Wording:
    with np.load(io.BytesIO(stored), allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        classifiers = {
            name: Linear(
                tuple(classes),
                {one: i for i, one in enumerate(arrays[f"{name}.features"].tobytes().decode().split("\n"))},
                arrays[f"{name}.weights"].astype(np.float32),
                arrays[f"{name}.bias"],
            )
            for name, classes in about["classes"].items()
        }
    asked = {
        ref: {path: Asked(one["by"], one["labels"]) for path, one in fields.items()}
        for ref, fields in about["asked"].items()
    }
    name = f"{about['set']} sha256:{hashlib.sha256(stored).hexdigest()[:12]}"
    return Wording(name, about["weights"], about["basis"], classifiers, asked)


def find_wording(model: str | None) -> Wording | None:
    """Return the wording of a model as `open_engine` names it: an id, a folder, or the default one.

    Raises:
        NotFoundError: the manifest has no such model.
        StoreError: the file is damaged.
    """
    if model is not None and Path(model).is_dir():
        return load(Path(model))
    known = entry(model or default_id())
    return load(known.adapter.path) if known.adapter else None


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)
