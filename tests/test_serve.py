"""`extractor serve` as a process: what it does when it is told to stop."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import until

REPORT = "Left ventricle dilated, LVEDV 246 mL, LVEF 31 %. No oedema. Mid-wall septal LGE. RVEF 48 %."
NO_ENGINE = ["--url", "http://127.0.0.1:9"]
"""The discard port: nothing answers, so the server lives without a model."""


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "extractor", "serve", "--port", str(port), *options]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            until(lambda: answers(f"{address}/health/live"), 60)
            yield server, address
        finally:
            server.kill()


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def says_it_drains(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["connection"] == "close"


def test_for_the_grace_after_sigterm_new_callers_are_told_then_the_server_ends_well():
    with serving(*NO_ENGINE, "--grace", "5") as (server, address), httpx.Client(base_url=address) as kept:
        assert kept.get("/health/live").headers.get("connection") != "close"
        server.terminate()
        told = time.monotonic()
        until(lambda: httpx.get(f"{address}/health/ready").json()["code"] == "draining", 4)
        says_it_drains(httpx.get(f"{address}/health/ready"))
        says_it_drains(httpx.post(f"{address}/extract", json={"text": REPORT}))
        says_it_drains(kept.post("/extract", json={"text": "x" * 4_000_000}))
        assert httpx.get(f"{address}/health/live").status_code == 200
        assert server.wait(30) == 0
        assert time.monotonic() - told >= 5


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_at_once(first):
    with (
        serving(*NO_ENGINE, "--grace", "60") as (server, address),
        socket.create_connection(("127.0.0.1", httpx.URL(address).port or 0)) as unfinished,
    ):
        head = ["POST /extract HTTP/1.1", "Host: a", "Content-Type: application/json", "Content-Length: 9"]
        unfinished.sendall("\r\n".join([*head, "", ""]).encode())
        time.sleep(0.3)
        server.send_signal(first)
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(1)
        server.terminate()
        assert server.wait(10) == 128 + signal.SIGTERM


def test_ctrl_c_does_not_wait_for_the_grace():
    with serving(*NO_ENGINE, "--grace", "60") as (server, _):
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0


@pytest.mark.engine
@pytest.mark.slow
def test_what_was_accepted_before_sigterm_is_answered(tiny_model_dir: Path):
    with (
        serving("--model", str(tiny_model_dir), "--grace", "5") as (server, address),
        ThreadPoolExecutor(8) as callers,
    ):

        def ask(**body: Any) -> httpx.Response:
            return httpx.post(f"{address}/extract", json=body, timeout=300)

        until(lambda: answers(f"{address}/health/ready"), 240)
        lists = [
            [{"text": f"Study {n}-{k}. {REPORT}", "id": f"{n}-{k}"} for k in range(32)] for n in range(7)
        ]
        asked = [callers.submit(ask, reports=reports) for reports in lists]
        time.sleep(1)
        assert ask(text=REPORT).status_code == 200  # behind the lists, so all are accepted by now
        assert not all(answer.done() for answer in asked)
        server.terminate()
        until(lambda: httpx.get(f"{address}/health/ready").status_code == 503, 4)
        says_it_drains(ask(text=REPORT))
        for answer, reports in zip(asked, lists, strict=True):
            assert answer.result().status_code == 200
            results = answer.result().json()["results"]
            assert [result["id"] for result in results] == [report["id"] for report in reports]
            assert all("data" in result for result in results)
        assert server.wait(60) == 0
