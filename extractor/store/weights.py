"""The store's front: pull a model, find it, check it, list all."""

from dataclasses import dataclass
from pathlib import Path

from extractor.errors import StoreError
from extractor.store import cache as disk
from extractor.store.checkpoint import WEIGHTS, build, complete, provenance
from extractor.store.fetch import fetch
from extractor.store.manifest import PRECISION, Entry, File, entry, manifest
from extractor.store.progress import Progress, on_stderr


@dataclass(frozen=True)
class Weights:
    """A checkpoint that vLLM can load from `path`. `sha256` is that of the published file it was made of."""

    path: Path
    sha256: str
    precision: str
    entry: Entry


@dataclass(frozen=True)
class Checked:
    """One file as `verify` found it; `actual` is None if it is missing."""

    file: str
    expected: str
    actual: str | None

    @property
    def ok(self) -> bool:
        return self.actual == self.expected


@dataclass(frozen=True)
class Listed:
    """One line of `extractor models list`. `pulled` is False for models that only a GPU machine serves."""

    id: str
    name: str
    family: str
    licence: str
    default: bool
    tested: bool
    pulled: bool
    gpu: bool
    memory_gib: float
    context: int


def pull(model_id: str, *, cache: Path | None = None, progress: Progress = on_stderr) -> Path:
    """Put a model in place and return the checkpoint's folder. Nothing is read or sent if it is there already.

    A pull that was killed goes on where it was. Raises NotFoundError (`model_unknown`) and StoreError:
    `weights_gpu_only`, `weights_unreachable`, `weights_hash_mismatch`, `weights_conversion_failed`,
    `disk_full`, `cache_unusable`.
    """
    model, gguf, int8 = _local(model_id)
    shelf = disk.shelf(model_id, cache)
    if complete(shelf, gguf):
        return shelf.int8
    with disk.disk_errors(shelf), disk.locked(shelf, progress):
        if not complete(shelf, gguf):
            shelf.make()
            # The parts and the checkpoint are never there together.
            disk.require_space(shelf, gguf.size + max(gguf.size, int8.size))
            fetch(model, gguf, shelf, progress)
            build(shelf, gguf, int8, progress)
    return shelf.int8


def locate(model_id: str, *, cache: Path | None = None) -> Weights:
    """Return a pulled model's weights. Raises StoreError (`weights_missing`) with the command that pulls them."""
    model, gguf, _ = _local(model_id)
    shelf = disk.shelf(model_id, cache)
    if not complete(shelf, gguf):
        raise StoreError(
            f"The weights of {model_id} are not on this machine.",
            code="weights_missing",
            fix=f"Run: extractor models pull {model_id}",
        )
    return Weights(shelf.int8, gguf.sha256, PRECISION, model)


def verify(
    model_id: str, *, cache: Path | None = None, progress: Progress = on_stderr
) -> tuple[Checked, ...]:
    """Hash every file of a pulled model again and return what was found, wrong files included.

    The published file and the int8 weights are compared with this release's manifest, the small files beside
    them with provenance.json. To mend a wrong file, delete the model's folder and pull. Raises StoreError
    (`weights_missing`).
    """
    shelf = disk.shelf(model_id, cache)
    locate(model_id, cache=cache)
    _, gguf, int8 = _local(model_id)
    expected = {f"int8/{name}": file["sha256"] for name, file in provenance(shelf)["files"].items()}
    expected |= {"source.gguf": gguf.sha256, f"int8/{WEIGHTS}": int8.sha256}
    with progress(f"checking {model_id}", gguf.size + int8.size) as advance:
        found = {name: shelf.root / name for name in sorted(expected)}
        return tuple(
            Checked(name, expected[name], disk.sha256(path, advance) if path.is_file() else None)
            for name, path in found.items()
        )


def list_models(*, cache: Path | None = None) -> tuple[Listed, ...]:
    """Return every known model, in the manifest's order."""
    return tuple(
        Listed(
            id=model.id,
            name=model.name,
            family=model.family,
            licence=model.licence,
            default=model.default,
            tested=model.tested,
            pulled=model.gguf is not None and complete(disk.shelf(model.id, cache), model.gguf),
            gpu=model.served is not None,
            memory_gib=model.memory_gib,
            context=model.context_used,
        )
        for model in manifest().values()
    )


def _local(model_id: str) -> tuple[Entry, File, File]:
    """Return a model's entry with its two files. Raises StoreError (`weights_gpu_only`) if it has none."""
    model = entry(model_id)
    if model.gguf and model.int8:
        return model, model.gguf, model.int8
    repo = model.served.repo if model.served else ""
    raise StoreError(
        f"{model_id} is for GPU machines (about {model.memory_gib:g} GiB of GPU memory): a vLLM server loads it "
        "straight from the model hub, and extractor neither downloads nor checks its files.",
        code="weights_gpu_only",
        fix=f"On the GPU machine run: vllm serve {repo}",
    )
