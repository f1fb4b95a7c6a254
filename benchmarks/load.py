"""How the service holds up at and beyond its capacity: `make load`, or `python -m benchmarks.load`.

It starts `extractor serve` on a loopback port and measures its capacity: 16 callers, each of which sends its next
report as soon as it has an answer. Then reports come one a request at 1, 2 and 5 times that rate, at random (Poisson)
and whether or not earlier ones are answered; nothing is sent twice. Latency is that of the reports that were read.
Texts are those of examples/, each with a number of its own in front, so that no report is in the prefix cache.
Nothing else may use the machine meanwhile.
"""

import argparse
import asyncio
import itertools
import math
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from extractor.client import Client

CALLERS = 16
LOADS = (1, 2, 5)


@dataclass(frozen=True)
class Sent:
    """One request: its HTTP status (0 where there was no answer) and seconds until the answer."""

    status: int
    seconds: float


@dataclass(frozen=True)
class Run:
    """All requests of one load, and the seconds from the first request to the last answer."""

    sent: Sequence[Sent]
    seconds: float

    @property
    def read(self) -> list[float]:
        return sorted(each.seconds for each in self.sent if each.status == httpx.codes.OK)

    @property
    def rate(self) -> float:
        return len(self.read) / self.seconds

    def latency(self, share: float) -> float:
        """The nearest-rank percentile, in seconds."""
        read = self.read
        return read[max(0, math.ceil(share * len(read)) - 1)] if read else math.nan

    def row(self, name: str, offered: float) -> str:
        refused = sum(each.status == httpx.codes.TOO_MANY_REQUESTS for each in self.sent)
        errors = len(self.sent) - len(self.read) - refused
        times = f"{self.latency(0.5):.2f} | {self.latency(0.95):.2f}"
        counts = f"{len(self.sent)} | {len(self.read)} | {refused} | {errors}"
        return f"| {name} | {offered:.2f} | {self.rate:.2f} | {times} | {counts} |"


class Load:
    """Sends reports to the service at `address`, from one event loop and over as many connections as it takes."""

    def __init__(self, address: str, schema: str, seed: int = 0) -> None:
        self._address = address
        self._schema = schema
        self._chance = random.Random(seed)  # noqa: S311
        texts = itertools.cycle(file.read_text("utf-8") for file in sorted(Path("examples").glob("*.txt")))
        self._texts = (f"Study {number}. {text}" for number, text in enumerate(texts))

    def capacity(self, seconds: float, callers: int) -> Run:
        return asyncio.run(self._closed(seconds, callers))

    def at(self, rate: float, seconds: float) -> Run:
        """Send `rate` reports a second on average for `seconds`, then wait for the answers."""
        return asyncio.run(self._open(rate, seconds))

    def _http(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.AsyncClient(base_url=self._address, timeout=600, limits=limits, trust_env=False)

    async def _send(self, http: httpx.AsyncClient) -> Sent:
        start = time.perf_counter()
        try:
            answer = await http.post("/extract", json={"text": next(self._texts), "schema": self._schema})
            status = answer.status_code
        except httpx.HTTPError:
            status = 0
        return Sent(status, time.perf_counter() - start)

    async def _closed(self, seconds: float, callers: int) -> Run:
        sent: list[Sent] = []

        async def call(http: httpx.AsyncClient) -> None:
            while time.perf_counter() < start + seconds:
                sent.append(await self._send(http))

        async with self._http() as http:
            start = time.perf_counter()
            await asyncio.gather(*(call(http) for _ in range(callers)))
            return Run(sent, time.perf_counter() - start)

    async def _open(self, rate: float, seconds: float) -> Run:
        async with self._http() as http:
            tasks: list[asyncio.Task[Sent]] = []
            start = due = time.perf_counter()
            while (due := due + self._chance.expovariate(rate)) < start + seconds:
                await asyncio.sleep(due - time.perf_counter())
                tasks.append(asyncio.create_task(self._send(http)))
            return Run(await asyncio.gather(*tasks), time.perf_counter() - start)


@contextmanager
def serving(model: str | None, max_waiting: int) -> Iterator[str]:
    """Run the service as its own process; yield its address once it reads reports."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--max-waiting", str(max_waiting), *(["--model", model] if model else [])]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "extractor", "serve", *options]
    with (
        subprocess.Popen(command, stderr=subprocess.DEVNULL) as server,
        Client(address, retries=0) as client,
    ):
        try:
            client.wait_ready()
            yield address
        finally:
            server.send_signal(signal.SIGINT)


def report(address: str, *, schema: str, seconds: float, max_waiting: int) -> Iterator[str]:
    """Yield the lines of the table as they are measured."""
    load = Load(address, schema)
    full = load.capacity(seconds, min(CALLERS, max_waiting))
    (model,) = httpx.get(f"{address}/models", trust_env=False).json()["models"]
    machine = f"{datetime.now(UTC).date()}, {platform.machine()}, {os.cpu_count()} cores"
    yield f"{machine}; {model['id']} {model['precision']}, {model['engine']}, `{schema}`; at most {max_waiting} wait."
    yield ""
    yield "| load | offered, 1/s | read, 1/s | p50, s | p95, s | sent | read | 429 | errors |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield full.row(f"{min(CALLERS, max_waiting)} callers", full.rate)
    for times in LOADS:
        yield load.at(times * full.rate, seconds).row(f"{times}x", times * full.rate)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="an id of `extractor models list`, or a folder")
    parser.add_argument("--schema", default="cmr-report@1")
    parser.add_argument("--seconds", type=float, default=120, help="for each load")
    parser.add_argument("--max-waiting", type=int, default=16, help="small, so that a short run fills it")
    options = parser.parse_args()
    with serving(options.model, options.max_waiting) as address:
        for line in report(
            address, schema=options.schema, seconds=options.seconds, max_waiting=options.max_waiting
        ):
            print(line, flush=True)


if __name__ == "__main__":
    main()
