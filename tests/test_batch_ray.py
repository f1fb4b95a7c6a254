"""`extractor batch --ray` on a real Ray on this machine, whose actors and whose run are killed."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from extractor.batch import cluster
from extractor.batch.actors import packed, unpacked
from extractor.batch.desk import Desk
from tests.batches import CANARY, SHORT, check_read_as_alone, rows_done, run
from tests.servers import until


def a_jsonl(path: Path, pairs: Sequence[tuple[str, Any]]) -> Path:
    path.write_bytes(b"\n".join(orjson.dumps({"id": id_, "text": text}) for id_, text in pairs))
    return path


# --- without Ray ---


def test_the_desk_gives_every_chunk_and_gives_it_again_until_it_is_answered():
    async def use() -> None:
        desk = Desk()
        waiting = asyncio.create_task(desk.chunk(0))
        assert [await desk.post(b"first"), await desk.post(b"second")] == [0, 1]
        assert await waiting == b"first"
        assert await desk.chunk(0) == b"first"
        desk._answers.put_nowait((0, b"read"))
        assert await desk.take() == (0, b"read")
        assert await desk.chunk(0) == b""
        waiting = asyncio.create_task(desk.chunk(2))
        await desk.close()
        assert await waiting is None
        assert await desk.chunk(1) == b"second"

    asyncio.run(use())


def test_a_chunk_holds_any_text():
    texts = [("1", "Ödem\x00\r\n☃"), ("2", "\ud800")]
    assert unpacked(packed(texts)) == texts


def test_wrong_command_lines_are_named(tmp_path):
    source = a_jsonl(tmp_path / "in.jsonl", [("1", 62)])
    assert "--actors is for --ray" in run(source, tmp_path / "out.csv", "--actors", 2).stderr
    answer = run("--ray", source, tmp_path / "out.csv")
    assert (answer.exit_code, "Write --ray last" in answer.stderr) == (2, True)


def test_without_ray_installed_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    answer = run(a_jsonl(tmp_path / "in.jsonl", [("1", 62)]), tmp_path / "out.csv", "--ray")
    assert answer.exit_code == 1
    assert "pip install '.[ray]'" in answer.stderr
    assert not (tmp_path / "out.csv.journal").exists()


@pytest.mark.parametrize("option", ["--restart", "--ray"])
def test_what_needs_no_engine_starts_no_ray(tmp_path, option):
    source = a_jsonl(tmp_path / "in.jsonl", [("1", 62), ("2", 7)])
    program = "import sys; from extractor.cli import main; sys.argv[0] = 'extractor'\n"
    program += "try: main()\nfinally: assert 'ray' not in sys.modules"
    arguments = ["batch", source, tmp_path / "out.jsonl", "--url", "http://127.0.0.1:9", option]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "AssertionError" not in done.stderr


# --- with Ray ---


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where Ray keeps logs and sockets; pytest's own folders have names too long for a socket."""
    made = Path(tempfile.mkdtemp(prefix="x"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


class Running:
    """The command with a Ray of its own, in `folder`, and the processes below it."""

    def __init__(self, folder: Path, *arguments: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "extractor", "batch", *map(str, arguments)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(folder)},
        )

    def ends(self) -> str:
        said = self.process.communicate(timeout=240)[1]
        return str(said)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 180
        while not condition():
            assert self.process.poll() is None, self.ends()
            assert time.monotonic() < end
            time.sleep(0.02)

    def below(self) -> list[int]:
        parents = {int(each.name): _parent(each) for each in Path("/proc").iterdir() if each.name.isdigit()}
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def readers(self) -> list[int]:
        """The actors that have their engine."""
        titles = {pid: _file(pid, "cmdline") for pid in self.below()}
        return [pid for pid, title in titles.items() if b"MapWorker" in title and b"__init__" not in title]


def _file(pid: int, name: str) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _parent(process: Path) -> int | None:
    found = re.search(rb"^PPid:\s+(\d+)", _file(int(process.name), "status"), re.MULTILINE)
    return int(found[1]) if found else None


def alive(pid: int) -> bool:
    return bool(re.search(rb"^State:\s+[^ZX]", _file(pid, "status"), re.MULTILINE))


def listening(pids: Sequence[int]) -> set[str]:
    """The addresses that these processes listen on, as the kernel writes them."""
    sockets = set()
    for link in (link for pid in pids for link in Path(f"/proc/{pid}/fd").glob("*")):
        with suppress(OSError):
            sockets.add(str(link.readlink()))
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    lines = [line.split() for line in tables.splitlines()]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in sockets}


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


@pytest.mark.engine
@pytest.mark.slow
def test_with_an_actor_and_a_run_killed_every_row_is_there_once(
    tmp_path, folder, tiny_model_dir, tiny_extractor
):
    pairs = [(str(n), f"{CANARY} {n}. LVEF {30 + n} %. No LGE." if n % 10 else "") for n in range(80)]
    source, output = a_jsonl(tmp_path / "in.jsonl", pairs), tmp_path / "out.jsonl"
    journal = tmp_path / "out.jsonl.journal"
    options = [*SHORT, "--batch-size", 2, "--model", tiny_model_dir, "--ray", "--actors", 2]

    first = Running(folder, source, output, *options)
    first.until(lambda: rows_done(journal) >= 4)
    below = first.below()
    assert listening(below) <= LOOPBACK
    first.process.send_signal(signal.SIGKILL)
    assert CANARY not in first.ends()
    assert not output.exists()
    # Two agents of Ray's, which never see a report, look for the rest of it for another minute.
    agents = [pid for pid in below if b"Agent" in _file(pid, "cmdline")]
    until(lambda: not any(alive(pid) for pid in below if pid not in agents))
    kept = [file for file in folder.rglob("*") if file.is_file()]
    assert kept
    assert not [file.name for file in kept if CANARY.encode() in file.read_bytes()]

    before = rows_done(journal)
    second = Running(folder, source, output, *options)
    second.until(lambda: rows_done(journal) >= before + 6 and len(second.readers()) == 2)
    killed = second.readers()[0]
    os.kill(killed, signal.SIGKILL)
    said = second.ends()
    assert second.process.returncode == 1, said
    assert f"Rows done already: {before}." in said
    assert "8 of 80 rows failed" in said
    assert CANARY not in said
    assert not journal.exists()

    check_read_as_alone(output, pairs, tiny_extractor)


@pytest.mark.engine
@pytest.mark.slow
def test_what_an_actor_cannot_open_ends_the_run_in_one_line(tmp_path, folder):
    source, output = a_jsonl(tmp_path / "in.jsonl", [("1", f"{CANARY}. No LGE.")]), tmp_path / "out.csv"
    failed = Running(folder, source, output, "--model", "no-such-model", "--ray")
    said = failed.ends()
    assert failed.process.returncode == 1
    assert "There is no model" in said
    assert CANARY not in said
    assert not list(folder.iterdir())
