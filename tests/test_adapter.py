"""A model with a LoRA adapter: merged to the letter of the formula, pinned, and built from its base's file."""

import hashlib
import importlib
import json
import re
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import extractor.store
from extractor.errors import StoreError
from extractor.store import entry, list_models, locate, manifest, pull, silent, verify
from extractor.store.convert import convert, main
from extractor.store.gguf_file import BLOCK, ConvertError
from extractor.store.manifest import parse

HIDDEN, INNER, HEADS, LAYERS, RANK, ALPHA = 64, 160, 4, 2, 8, 16
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN // 2, HIDDEN),
    "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
Q_PROJ = "base_model.model.model.layers.1.self_attn.q_proj"

Published = tuple[Path, dict[str, Any]]


def write_gguf(path: Path, architecture: str) -> dict[str, Any]:
    """Write a random model of two layers. Return its linear weights as float64, by the names of a checkpoint."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import dequantize, quantize

    random = np.random.default_rng(1)
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS // 2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000)
    tokens = [*(chr(33 + n) for n in range(61)), '!"', "<s>", "</s>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 62 + [3] * 2)
    writer.add_token_merges(['! "'])
    writer.add_bos_token_id(62)
    writer.add_eos_token_id(63)
    writer.add_pad_token_id(63)

    def add(name: str, shape: tuple[int, ...], kind: GGMLQuantizationType) -> Any:
        values = random.normal(size=shape).astype(np.float32)
        if kind == GGMLQuantizationType.F32:
            writer.add_tensor(name, values)
            return values
        stored = quantize(values, kind)
        writer.add_tensor(name, stored, raw_dtype=kind)
        return dequantize(stored, kind)

    linear = {}
    theirs = {ours: gguf for gguf, ours in BLOCK.items()}
    for layer in range(LAYERS):
        for ours, shape in SHAPES.items():
            # One of them is not quantised, so it is read straight from the file's pages.
            kind = GGMLQuantizationType.F32 if "v_proj" in ours else GGMLQuantizationType.Q8_0
            values = add(f"blk.{layer}.{theirs[ours]}.weight", shape, kind)
            if architecture == "llama" and ours.endswith(("q_proj", "k_proj")):
                # llama.cpp interleaves the two halves of each head (of 16 rows).
                values = values.reshape(-1, 8, 2, HIDDEN).swapaxes(1, 2).reshape(shape)
            linear[f"model.layers.{layer}.{ours}.weight"] = values.astype(np.float64)
        for norm in ("attn_norm", "ffn_norm"):
            add(f"blk.{layer}.{norm}.weight", (HIDDEN,), GGMLQuantizationType.F32)
    add("output_norm.weight", (HIDDEN,), GGMLQuantizationType.F32)
    add("token_embd.weight", (len(tokens), HIDDEN), GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return linear


def random_adapter(seed: int = 2) -> dict[str, Any]:
    """Tensors of an adapter for all seven linear layers, in numbers that 16 bits hold exactly."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, int]] = {}
    for layer in range(LAYERS):
        for module, (rows, columns) in SHAPES.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            shapes |= {f"{name}.lora_A.weight": (RANK, columns), f"{name}.lora_B.weight": (rows, RANK)}
    return {n: random.integers(-64, 65, shape).astype(np.float32) / 256 for n, shape in shapes.items()}


def save(folder: Path, tensors: dict[str, Any], dtype: str | None = None, **config: Any) -> Path:
    """Write an adapter folder as PEFT does."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "use_rslora": False} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    stored = {name: torch.from_numpy(values) for name, values in tensors.items()}
    if dtype:
        stored = {name: values.to(getattr(torch, dtype)) for name, values in stored.items()}
    save_file(stored, folder / "adapter_model.safetensors", {"format": "pt"})
    return folder


def file_of(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def each_published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Published:
    path = tmp_path_factory.mktemp(request.param) / "tiny.gguf"
    return path, write_gguf(path, request.param)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "tiny.gguf"
    write_gguf(path, "qwen2")
    return path


# Merging


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_checkpoint_holds_the_model_s_weights_plus_the_adapter_s(
    each_published: Published, tmp_path: Path, dtype: str
) -> None:
    source, weights = each_published
    lora = random_adapter()
    convert(source, tmp_path / "int8", adapter=save(tmp_path / "cmr", lora, dtype))
    with safe_open(tmp_path / "int8" / "model.safetensors", "np") as ours:
        for name, base in weights.items():
            module = f"base_model.model.{name.removesuffix('.weight')}"
            a, b = (lora[f"{module}.lora_{letter}.weight"].astype(np.float64) for letter in "AB")
            wanted = base + ALPHA / RANK * (b @ a)
            step = ours.get_tensor(f"{name}_scale")
            found = ours.get_tensor(name) * step
            assert (np.abs(found - wanted) <= 0.5001 * step).all(), name
            assert (np.abs(found - base) > 2 * step).mean() > 0.5, "the adapter is no rounding error"


def test_the_same_adapter_gives_the_same_bytes_and_is_named(published: Path, tmp_path: Path) -> None:
    adapter = save(tmp_path / "cmr-tiny-1", random_adapter())
    convert(published, tmp_path / "first", adapter=adapter)
    assert main(str(published), str(tmp_path / "second"), str(adapter)) == 0
    first, second = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("first", "second")
    )
    assert first == second
    provenance = json.loads(first["provenance.json"])
    assert provenance["adapter"] == {
        "name": "cmr-tiny-1",
        "sha256": file_of(adapter / "adapter_model.safetensors")["sha256"],
    }
    assert provenance["gguf_sha256"] == file_of(published)["sha256"]


def test_a_zero_adapter_changes_no_weight(published: Path, tmp_path: Path) -> None:
    nothing = {name: 0 * values for name, values in random_adapter().items()}
    convert(published, tmp_path / "merged", adapter=save(tmp_path / "cmr", nothing))
    convert(published, tmp_path / "plain")
    plain, merged = (tmp_path / name / "model.safetensors" for name in ("plain", "merged"))
    assert plain.read_bytes() == merged.read_bytes()
    assert "adapter" not in json.loads((tmp_path / "plain" / "provenance.json").read_text())


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in random_adapter().items() if key != name}


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        ({**random_adapter(), "base_model.model.lm_head.lora_A.weight": np.zeros((8, 64), "f4")}, {},
         "adapter tensor base_model.model.lm_head.lora_A.weight fits no tensor"),
        ({name.replace("layers.1", "layers.2"): t for name, t in random_adapter().items()}, {},
         "adapter tensor base_model.model.model.layers.2.mlp.down_proj.lora_A.weight fits no tensor"),
        (without(f"{Q_PROJ}.lora_B.weight"), {}, f"adapter tensor {Q_PROJ}.lora_B.weight is missing"),
        ({**random_adapter(), f"{Q_PROJ}.lora_A.weight": np.zeros((4, 64), "f4")}, {},
         f"adapter tensor {Q_PROJ}.lora_A.weight has the shape (4, 64), needed is (8, 64) (rank 8)"),
        ({**random_adapter(), f"{Q_PROJ}.lora_A.weight": np.zeros((8, 64), "f8")}, {},
         f"adapter tensor {Q_PROJ}.lora_A.weight is F64"),
        (random_adapter(), {"r": 16}, "(rank 16)"),
        (random_adapter(), {"r": 0}, "adapter_config.json cannot be used"),
        (random_adapter(), {"use_rslora": True}, "use_rslora is not supported"),
        (random_adapter(), {"peft_type": "IA3"}, "peft_type is not LORA"),
    ],
)  # fmt: skip
def test_an_adapter_that_does_not_fit_is_refused_by_name(
    published: Path, tmp_path: Path, tensors: dict[str, Any], config: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConvertError, match=re.escape(said)):
        convert(published, tmp_path / "int8", adapter=save(tmp_path / "cmr", tensors, **config))
    assert not (tmp_path / "int8").exists()


def test_the_command_says_in_one_line_why_an_adapter_does_not_fit(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = save(tmp_path / "cmr", without(f"{Q_PROJ}.lora_B.weight"))
    assert main(str(published), str(tmp_path / "int8"), str(adapter)) == 2
    assert capsys.readouterr().err == f"adapter tensor {Q_PROJ}.lora_B.weight is missing\n"


# The store


MODEL = """
[[model]]
id = "{id}"
name = "Tiny"
family = "qwen2.5"
licence = "Apache-2.0"
template = "none"
context_length = 64
context_used = 64
memory_gib = 1
int8 = {{ size = {int8[size]}, sha256 = "{int8[sha256]}" }}
"""
BASE = """default = true
gguf = {{ size = {gguf[size]}, sha256 = "{gguf[sha256]}" }}
sources = [{{ kind = "hub", repo = "o/r", revision = "abc", file = "tiny.gguf" }}]
"""
ADAPTER = """adapter = {{ base = "tiny", folder = "cmr-1", sha256 = "{adapter[sha256]}" }}
"""
TEMPLATE = """
[templates.none]
system_prefix = ""
system_suffix = ""
user_prefix = ""
user_suffix = ""
assistant_prefix = ""
"""


class Release:
    """A folder as extractor.store is one: models.toml with a tiny model and the same with an adapter; a cache."""

    def __init__(self, folder: Path, gguf: Path) -> None:
        self.folder, self.gguf, self.cache = folder, gguf, folder / "cache"
        self.adapter = folder / "adapters" / "cmr-1" / "adapter_model.safetensors"
        if not self.adapter.exists():
            self.adapt(random_adapter())

    def adapt(self, tensors: dict[str, Any]) -> None:
        """Ship an adapter: put it in place and pin what comes out."""
        save(self.adapter.parent, tensors)
        text = TEMPLATE
        for name, rest, adapter in (("tiny", BASE, None), ("tiny-cmr", ADAPTER, self.adapter.parent)):
            made = self.folder / "made" / name
            shutil.rmtree(made, ignore_errors=True)
            made.parent.mkdir(exist_ok=True)
            convert(self.gguf, made, adapter=adapter)
            files = {
                "int8": file_of(made / "model.safetensors"),
                "gguf": file_of(self.gguf),
                "adapter": file_of(self.adapter),
            }
            text += (MODEL + rest).format(id=name, **files)
        (self.folder / "models.toml").write_text(text)
        manifest.cache_clear()

    def use(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(importlib.import_module("extractor.store.manifest"), "FOLDER", self.folder)
        manifest.cache_clear()


class Hub(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012  shared by all requests

    def log_request(self, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture(scope="module")
def hub(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "o" / "r" / "resolve" / "abc").mkdir(parents=True)
    shutil.copy(published, folder / "o" / "r" / "resolve" / "abc")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def both_pulled(published: Path, hub: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release whose two models were pulled at the same time."""
    release = Release(tmp_path_factory.mktemp("release"), published)
    with pytest.MonkeyPatch.context() as patch:
        release.use(patch)
        patch.setenv("HF_ENDPOINT", hub)
        with ThreadPoolExecutor() as pool:
            ids = ("tiny-cmr", "tiny")
            paths = list(pool.map(lambda name: pull(name, cache=release.cache, progress=silent), ids))
        assert paths == [release.cache / name / "int8" for name in ids]
    manifest.cache_clear()
    return release.folder


@pytest.fixture
def release(both_pulled: Path, published: Path, tmp_path: Path) -> Iterator[Release]:
    """A copy of that release to play with. It cannot download anything."""
    shutil.copytree(both_pulled, tmp_path / "release")
    with pytest.MonkeyPatch.context() as patch:
        release = Release(tmp_path / "release", published)
        release.use(patch)
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        yield release
    manifest.cache_clear()


def test_the_base_s_file_is_fetched_once_for_both(both_pulled: Path) -> None:
    assert Hub.asked == ["/o/r/resolve/abc/tiny.gguf"]
    assert [file.name for file in (both_pulled / "cache" / "tiny-cmr").iterdir()] == ["int8"]


def test_a_pulled_model_says_its_adapter_and_is_found_listed_and_checked(release: Release) -> None:
    weights = locate("tiny-cmr", cache=release.cache)
    sha256 = file_of(release.adapter)["sha256"]
    assert weights.adapter == f"cmr-1 sha256:{sha256[:12]}"
    assert weights.sha256 == file_of(release.gguf)["sha256"]
    assert locate("tiny", cache=release.cache).adapter is None
    assert json.loads((weights.path / "provenance.json").read_text())["adapter"]["sha256"] == sha256
    assert [(listed.id, listed.pulled) for listed in list_models(cache=release.cache)] == [
        ("tiny", True),
        ("tiny-cmr", True),
    ]
    checked = verify("tiny-cmr", cache=release.cache, progress=silent)
    assert all(one.ok for one in checked)
    assert {"../tiny/source.gguf", "int8/model.safetensors"} <= {one.file for one in checked}


@pytest.mark.slow
def test_a_release_with_a_new_adapter_builds_the_model_again_from_the_base_s_file(release: Release) -> None:
    before = (release.cache / "tiny-cmr" / "int8" / "model.safetensors").read_bytes()
    shutil.rmtree(release.cache / "tiny" / "int8")
    release.adapt(random_adapter(seed=3))
    with pytest.raises(StoreError, match="Run: extractor models pull tiny-cmr"):
        locate("tiny-cmr", cache=release.cache)
    path = pull("tiny-cmr", cache=release.cache, progress=silent)
    assert (path / "model.safetensors").read_bytes() != before
    assert locate("tiny-cmr", cache=release.cache).path == path
    assert [listed.id for listed in list_models(cache=release.cache) if listed.pulled] == ["tiny-cmr"]


def test_an_adapter_that_is_not_the_pinned_one_is_refused_before_any_work(release: Release) -> None:
    shutil.rmtree(release.cache)
    release.adapter.write_bytes(release.adapter.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match=r"cmr-1 .* Install extractor again") as caught:
        pull("tiny-cmr", cache=release.cache, progress=silent)
    assert caught.value.code == "adapter_hash_mismatch"
    assert not release.cache.exists()


@pytest.mark.slow
def test_an_adapter_with_other_settings_gives_other_weights_which_are_refused(release: Release) -> None:
    shutil.rmtree(release.cache / "tiny-cmr")
    config = release.adapter.with_name("adapter_config.json")
    config.write_text(config.read_text().replace('"lora_alpha": 16', '"lora_alpha": 32'))
    with pytest.raises(StoreError, match="not the ones that this release was tested with") as caught:
        pull("tiny-cmr", cache=release.cache, progress=silent)
    assert caught.value.code == "weights_hash_mismatch"
    assert not (release.cache / "tiny-cmr" / "int8").exists()
    assert (release.cache / "tiny" / "source.gguf").exists()


# The manifest

CMR = """
[[model]]
id = "cmr"
name = "CMR"
family = "qwen2.5"
licence = "Apache-2.0"
template = "chatml"
context_length = 8192
context_used = 8192
memory_gib = 6
adapter = { base = "smollm2-135m", folder = "cmr-1", sha256 = "SHA" }
int8 = { size = 1, sha256 = "SHA" }
""".replace("SHA", "0" * 64)


@pytest.fixture
def shipped() -> str:
    return Path(extractor.store.__file__).with_name("models.toml").read_text()


def test_a_model_with_an_adapter_has_its_base_s_file_and_sources(shipped: str) -> None:
    models = parse(shipped + CMR)
    cmr, base = models["cmr"], models["smollm2-135m"]
    assert (cmr.gguf, cmr.sources) == (base.gguf, base.sources)
    assert cmr.int8 != base.int8
    assert (cmr.published, base.published) == ("smollm2-135m", "smollm2-135m")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('base = "smollm2-135m"', 'base = "llama"', "cmr: adapter.base: no model 'llama' with a gguf of its own"),
        ('base = "smollm2-135m"', 'base = "gemma-2-9b"', "cmr: adapter.base: no model 'gemma-2-9b'"),
        ('base = "smollm2-135m"', 'base = "cmr"', "cmr: adapter.base: no model 'cmr'"),
        ('folder = "cmr-1"', 'folder = "../cmr"', "cmr: adapter.folder"),
        ('"cmr-1", sha256 = "0', '"cmr-1", sha256 = "x', "cmr: adapter.sha256"),
        ("int8 =", "gguf = { size = 1 }\nint8 =", "cmr: gguf and sources are those of adapter.base"),
        ("int8 =", 'served = { repo = "o/r", revision = "main" }\nint8 =', "adapter and int8, or served alone"),
        (re.search(r"^int8.*$", CMR, re.MULTILINE)[0], "", "adapter and int8, or served alone"),  # type: ignore[index]
    ],
)  # fmt: skip
def test_a_wrong_adapter_entry_says_where(shipped: str, old: str, new: str, said: str) -> None:
    assert old in CMR
    with pytest.raises(StoreError, match=re.escape(said)) as caught:
        parse(shipped + CMR.replace(old, new))
    assert caught.value.code == "manifest_invalid"


def test_every_adapter_of_this_release_is_shipped_with_it() -> None:
    for model in manifest().values():
        if adapter := entry(model.id).adapter:
            assert file_of(adapter.path / "adapter_model.safetensors")["sha256"] == adapter.sha256
