"""Where a run and its readers on a Ray cluster meet: chunks of texts lie here, and answers to them.

`cluster` ─ Desk.post ─ hand_out, one task ─ Reader, an actor for each engine ─ Desk.take ─ `cluster`
"""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

from extractor.batch.actors import Asked, Reader

RETRIES = 3
"""How often a chunk is read again whose reader died. A report that kills every engine must not go round for ever."""


class Share(NamedTuple):
    """How many readers there are, and what of the cluster is reserved for each."""

    readers: int
    cpus: float
    gpus: int


class Desk:
    """An actor. What lies here is bounded by the run, which posts no more than it waits for.

    A chunk has a number and stays until its answer is taken: after the loss of a machine Ray asks for chunks again.
    """

    def __init__(self) -> None:
        self._chunks: dict[int, bytes] = {}
        self._posted = 0
        self._closed = False
        self._news = asyncio.Condition()
        self._answers: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

    async def post(self, chunk: bytes) -> int:
        """Return the chunk's number; they count from 0."""
        async with self._news:
            number, self._posted = self._posted, self._posted + 1
            self._chunks[number] = chunk
            self._news.notify_all()
        return number

    async def close(self) -> None:
        """Say that no more chunks come."""
        async with self._news:
            self._closed = True
            self._news.notify_all()

    async def chunk(self, number: int) -> bytes | None:
        """Wait for a chunk. An empty one is answered already; None comes after the last."""
        async with self._news:
            await self._news.wait_for(lambda: number < self._posted or self._closed)
        return self._chunks.get(number, b"") if number < self._posted else None

    async def take(self) -> tuple[int, bytes]:
        """Wait for an answer and the number of its chunk, which is then forgotten."""
        number, answer = await self._answers.get()
        self._chunks.pop(number, None)
        return number, answer

    async def read(self, asked: Asked, share: Share) -> None:
        """Have all chunks read; ends when the last is answered."""
        import ray

        desk, loop = ray.get_runtime_context().current_actor, asyncio.get_running_loop()

        def run() -> None:
            for answer in answers(desk, asked, share):
                loop.call_soon_threadsafe(self._answers.put_nowait, answer)

        await asyncio.to_thread(run)


def answers(desk: Any, asked: Asked, share: Share) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the answer of every chunk of `desk`, as they come."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_no_progress_timeout_s = -1  # on a CPU one chunk can take longer than Ray would wait
    context.target_max_block_size = 1  # byte: a chunk goes on at once, and waits for no others
    begin = ray.data.from_items([{"begin": True}])
    chunks = begin.map_batches(hand_out, fn_args=(desk,), batch_format="pyarrow", num_cpus=0)
    read = chunks.map_batches(
        Reader,
        fn_constructor_args=(asked,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=share.readers),
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        max_task_retries=RETRIES,
    )
    for table in read.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from zip(table["number"].to_pylist(), table["rows"].to_pylist(), strict=True)


def hand_out(_begin: Any, desk: Any) -> Iterator[Any]:
    """Yield a table of one row for each chunk of `desk`, until it is closed."""
    import pyarrow as pa
    import ray

    for number in count():
        chunk = ray.get(desk.chunk.remote(number))
        if chunk is None:
            return
        yield pa.table({"number": [number], "rows": pa.array([chunk], pa.large_binary())})
