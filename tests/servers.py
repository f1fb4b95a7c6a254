"""Real vLLM API servers with the tiny model, which tests may kill and start again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from extractor.engine.base import Chat
from extractor.engine.remote import RemoteEngine
from extractor.store import entry

MODEL = "tiny-random"


class VllmServer:
    """A server on loopback, always on the same port, in a process group of its own so that all of it can be killed."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._port = free_port()
        self._folder, self._log = folder, log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(self._folder),
            "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(self._port), "--enforce-eager",
            "--max-model-len", "8192", "--enable-prompt-tokens-details",
        ]  # fmt: skip
        environment = os.environ | {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }
        environment.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it answers."""
        until(self._is_well, 300)

    def _is_well(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self._log.read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/health").is_success
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def answered(self) -> float:
        """How many questions it has answered since its start."""
        counters = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        return sum(
            float(line.split()[-1]) for line in counters if line.startswith("vllm:request_success_total")
        )


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def open_remote(urls: Sequence[str]) -> RemoteEngine:
    chat = Chat(**entry("smollm2-135m").template.model_dump())
    return RemoteEngine(urls, model=MODEL, names=[MODEL], chat=chat)
