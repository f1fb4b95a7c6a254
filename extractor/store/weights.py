"""The store's front: pull a model, find it, check it, list all."""

from dataclasses import dataclass
from pathlib import Path

from extractor.errors import StoreError
from extractor.store import cache as disk
from extractor.store.checkpoint import WEIGHTS, Recipe, build, check_adapter, complete, provenance
from extractor.store.fetch import fetch
from extractor.store.manifest import PRECISION, Entry, entry, manifest
from extractor.store.progress import Progress, on_stderr


@dataclass(frozen=True)
class Weights:
    """A checkpoint that vLLM can load from `path`. `sha256` is that of the published file it was made of.

    `adapter` names what was merged into it, with the beginning of its hash.
    """

    path: Path
    sha256: str
    precision: str
    adapter: str | None
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
    `adapter_hash_mismatch`, `disk_full`, `cache_unusable`.
    """
    model, recipe = _local(model_id, cache)
    shelf, source, gguf, int8 = recipe.shelf, recipe.source, recipe.gguf, recipe.int8
    if complete(recipe):
        return shelf.int8
    if recipe.adapter:
        check_adapter(recipe.adapter)
    with disk.disk_errors(shelf), disk.locked(source, progress):
        if not complete(recipe):
            source.make()
            shelf.make()
            # The parts and the checkpoint are never there together.
            total = gguf.size + max(gguf.size, int8.size)
            disk.require_space(shelf, total - source.downloaded() - shelf.converted())
            fetch(model, gguf, source, progress)
            build(recipe, progress)
    return shelf.int8


def locate(model_id: str, *, cache: Path | None = None) -> Weights:
    """Return a pulled model's weights. Raises StoreError (`weights_missing`) with the command that pulls them."""
    model, recipe = _local(model_id, cache)
    if not complete(recipe):
        raise StoreError(
            f"The weights of {model_id} are not on this machine.",
            code="weights_missing",
            fix=f"Run: extractor models pull {model_id}",
        )
    adapter = str(model.adapter) if model.adapter else None
    return Weights(recipe.shelf.int8, recipe.gguf.sha256, PRECISION, adapter, model)


def verify(
    model_id: str, *, cache: Path | None = None, progress: Progress = on_stderr
) -> tuple[Checked, ...]:
    """Hash every file of a pulled model again and return what was found, wrong files included.

    The published file and the int8 weights are compared with this release's manifest, the small files beside
    them with provenance.json. To mend a wrong file, delete the model's folder and pull. Raises StoreError
    (`weights_missing`).
    """
    locate(model_id, cache=cache)
    model, recipe = _local(model_id, cache)
    source = f"../{model.adapter.base}/source.gguf" if model.adapter else "source.gguf"
    expected = {f"int8/{name}": file["sha256"] for name, file in provenance(recipe.shelf)["files"].items()}
    expected |= {source: recipe.gguf.sha256, f"int8/{WEIGHTS}": recipe.int8.sha256}
    with progress(f"checking {model_id}", recipe.gguf.size + recipe.int8.size) as advance:
        found = {name: recipe.shelf.root / name for name in sorted(expected)}
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
            pulled=(recipe := _recipe(model, cache)) is not None and complete(recipe),
            gpu=model.served is not None,
            memory_gib=model.memory_gib,
            context=model.context_used,
        )
        for model in manifest().values()
    )


def _recipe(model: Entry, cache: Path | None) -> Recipe | None:
    """Return how a model's checkpoint is made, None if only GPU machines run it."""
    if not (model.gguf and model.int8):
        return None
    own, source = disk.shelf(model.id, cache), disk.shelf(model.published, cache)
    return Recipe(own, source, model.gguf, model.int8, model.adapter)


def _local(model_id: str, cache: Path | None) -> tuple[Entry, Recipe]:
    """Return a model's entry and recipe. Raises StoreError (`weights_gpu_only`) if it has none."""
    model = entry(model_id)
    if recipe := _recipe(model, cache):
        return model, recipe
    repo = model.served.repo if model.served else ""
    raise StoreError(
        f"{model_id} is for GPU machines (about {model.memory_gib:g} GiB of GPU memory): a vLLM server loads it "
        "straight from the model hub, and extractor neither downloads nor checks its files.",
        code="weights_gpu_only",
        fix=f"On the GPU machine run: vllm serve {repo}",
    )
