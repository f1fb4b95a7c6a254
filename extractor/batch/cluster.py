"""`extractor batch --ray`: reports are read by actors of a Ray cluster, and this process alone keeps what is done.

rows ─ Desk ─ Ray Data ─ Desk ─ journal        (the middle: `desk`, `actors`)

Ray starts an actor again that died, and it reads again what it had not answered. A row is done when its record is
in the journal here, and not before; what comes twice is dropped.
"""

import math
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from extractor.batch.actors import Asked, packed
from extractor.batch.desk import Desk, Share
from extractor.batch.progress import Told
from extractor.batch.rows import Row
from extractor.batch.run import Batch, texts
from extractor.errors import EngineError, InputError

LOCAL = "local"
"""The address of a Ray that is started here and ends with the run."""

_AHEAD = 3  # chunks in flight for each reader: the one it reads, the next, and one on its way
_PATIENCE = 60.0  # seconds for an answer when Ray says that it has given all
_OBJECTS = 2**28  # bytes; what is in flight at a time is far below
_AGAIN = "The same command goes on from there; with --verbose Ray says more."


def check() -> None:
    """Say before anything is opened that Ray is not installed.

    Raises:
        InputError: it is not.
    """
    if find_spec("ray") is None:
        raise InputError(
            "--ray needs the package ray.",
            code="batch_extra_missing",
            fix="In a copy of the repository: pip install '.[ray]'.",
        )


def read(batch: Batch, asked: Asked, address: str, readers: int | None, told: Told) -> None:
    """Read every row that the journal lacks, as `Batch.read` does. Ray is started or joined at the first text.

    Raises:
        InputError: the model is not the one that the journal has rows of.
        EngineError: Ray or an engine failed, and not because of one row.
    """
    waiting: dict[int, list[Row]] = {}
    with ExitStack() as stack:
        cluster: _Cluster | None = None
        for rows in batch.chunks():
            found = texts(rows)
            if not found:
                batch.keep(rows, (), told)
                continue
            cluster = cluster or stack.enter_context(_joined(address, asked, readers))
            waiting[cluster.post(found)] = rows
            while len(waiting) >= cluster.room:
                _keep(batch, cluster.answer(), waiting, told)
        if cluster:
            cluster.close()
            while waiting:
                _keep(batch, cluster.answer(), waiting, told)


def _keep(batch: Batch, answer: tuple[int, bytes], waiting: dict[int, list[Row]], told: Told) -> None:
    number, said = answer
    rows = waiting.pop(number, None)
    if rows is None:
        return
    found = orjson.loads(said)
    if "failed" in found:
        raise EngineError(**found["failed"])
    batch.journal.agree(model=found["model"])
    batch.keep(rows, found["records"], told)


class _Cluster:
    """The readers as this process sees them: texts go out, records come back."""

    def __init__(self, ray: Any, asked: Asked, readers: int | None) -> None:
        share = _share(ray, readers, gpus=not asked.urls)
        self.room = share.readers * _AHEAD
        self._ray = ray
        self._desk = ray.remote(num_cpus=0)(Desk).remote()
        self._reading = self._desk.read.remote(asked, share)

    def post(self, found: Sequence[tuple[str, str]]) -> int:
        number: int = self._ray.get(self._desk.post.remote(packed(found)))
        return number

    def close(self) -> None:
        self._ray.get(self._desk.close.remote())

    def answer(self) -> tuple[int, bytes]:
        taken = self._desk.take.remote()
        ready, _ = self._ray.wait([taken, self._reading])
        if taken not in ready:
            self._ray.get(self._reading)  # raises what ended it
        answer: tuple[int, bytes] = self._ray.get(taken, timeout=_PATIENCE)
        return answer


def _share(ray: Any, readers: int | None, *, gpus: bool) -> Share:
    """A GPU for each reader where the cluster has some; else an equal share of its CPUs, on one machine."""
    there = ray.cluster_resources()
    cards = int(there.get("GPU", 0)) if gpus else 0
    number = readers or cards or 1
    if cards:
        return Share(number, 0, 1)
    largest = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    cpus = there.get("CPU", 1) / number
    # Ray takes whole CPUs, or parts of one.
    return Share(number, min(math.floor(cpus), largest) if cpus >= 1 else math.floor(cpus * 1000) / 1000, 0)


@contextmanager
def _joined(address: str, asked: Asked, readers: int | None) -> Iterator[_Cluster]:
    with _ray(address, verbose=asked.verbose) as ray:
        try:
            yield _Cluster(ray, asked, readers)
        except (ray.exceptions.RayError, ConnectionError) as error:
            what = f"Ray failed ({type(error).__name__})."  # its message may hold anything
            raise EngineError(what, code="ray_failed", fix=_AGAIN) from None


@contextmanager
def _ray(address: str, *, verbose: bool) -> Iterator[Any]:
    """Join the Ray at `address`, or start one of this process alone, and leave it in the end.

    Raises:
        EngineError: it does not answer, or could not be started.
    """
    options: dict[str, Any] = {"log_to_driver": verbose}
    what = "No Ray cluster answers at this address"
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with ExitStack() as stack:
        if address == LOCAL:
            what = "Ray could not be started"
            folder = stack.enter_context(TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
            options |= {"_temp_dir": folder, "object_store_memory": _OBJECTS, "include_dashboard": False}
            os.environ |= _alone()
        import ray

        stack.callback(ray.shutdown)
        try:
            ray.init(address, **options)
        except (ray.exceptions.RayError, ImportError, OSError, RuntimeError, ValueError) as error:
            fix = "With --verbose Ray says more."
            raise EngineError(f"{what} ({type(error).__name__}).", code="ray_unreachable", fix=fix) from None
        yield ray


def _alone() -> dict[str, str]:
    """The environment of a Ray that nobody else can reach. It is set before Ray is imported."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # despite its name: listen on the loopback interface only
    }
