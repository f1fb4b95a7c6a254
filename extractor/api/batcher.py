"""One thread owns the model; whatever waits when it is free goes through as one batch.

Requests do not wait for a batch to fill: the first report starts at once, and those that arrive while it is
being read share the next batch. Reports keep the order in which they came.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

from extractor.api.problems import NotReadyError, internal_error, log_unexpected
from extractor.engine.base import EngineInfo
from extractor.errors import ExtractorError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction

logger = logging.getLogger("extractor.api")

Outcome = Extraction | ExtractorError


class _Waiting(NamedTuple):
    job: Job
    answer: Future[Outcome]


class _Trouble(NamedTuple):
    """Why no report can be read now."""

    detail: str
    code: str
    fix: str


_LOADING = _Trouble(
    "The model is still loading.", "model_loading", "Try again when GET /health/ready answers 200."
)
_CLOSING = _Trouble("The server is shutting down.", "server_closing", "Try again later.")


class Batcher:
    """Reads reports with one `Extractor`, which its thread opens, prepares for every schema and uses alone.

    `max_batch` is in reports.
    """

    def __init__(
        self, open_extractor: Callable[[], Extractor], schemas: Sequence[str], max_batch: int = 32
    ) -> None:
        self._open_extractor = open_extractor
        self._schemas = schemas
        self._max_batch = max_batch
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._trouble: _Trouble | None = _LOADING
        self._closed = False
        self._lock = Lock()
        self._thread = Thread(target=self._run, name="extractor", daemon=True)
        self.info: EngineInfo | None = None

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Answer what is waiting, then stop. A model that is still loading is not waited for."""
        with self._lock:
            self._closed = True
            self._trouble = _CLOSING
            self._queue.put(None)
        if self.info is not None:
            self._thread.join()

    def check_ready(self) -> EngineInfo:
        """Return which model answers; raise `NotReadyError` while there is none."""
        trouble = self._trouble
        if trouble is not None or self.info is None:
            detail, code, fix = trouble or _LOADING
            raise NotReadyError(detail, code=code, fix=fix)
        return self.info

    def submit(self, jobs: Sequence[Job]) -> list[Future[Outcome]]:
        """Queue `jobs`; cancel a future to take its job back. Raise `NotReadyError` before the model is loaded."""
        with self._lock:
            self.check_ready()
            waiting = [_Waiting(job, Future()) for job in jobs]
            for item in waiting:
                self._queue.put(item)
        return [item.answer for item in waiting]

    def _run(self) -> None:
        extractor = self._open()
        if extractor is None:
            return
        while (batch := self._take()) is not None:
            batch = [item for item in batch if item.answer.set_running_or_notify_cancel()]
            if batch:
                self._read(extractor, batch)

    def _open(self) -> Extractor | None:
        try:
            extractor = self._open_extractor()
            for schema in self._schemas:
                extractor.prepare(schema)
            info = extractor.info
        except ExtractorError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001  a thread's own boundary: nobody above could report it
            log_unexpected(error)
            reason = type(error).__name__
        else:
            with self._lock:
                if self._closed:
                    return None
                self.info = info
                self._trouble = None
            logger.info("Ready: %s", info.model)
            return extractor
        detail = f"The model could not be loaded: {reason}"
        logger.error("%s", detail)
        self._trouble = _Trouble(detail, "model_failed", "Mend that and start the server again.")
        return None

    def _take(self) -> list[_Waiting] | None:
        """Wait for a report, then take all that wait, up to `max_batch`; `None` when the queue is closed."""
        first = self._queue.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < self._max_batch:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                self._queue.put(None)
                break
            batch.append(item)
        return batch

    def _read(self, extractor: Extractor, batch: Sequence[_Waiting]) -> None:
        answers = [item.answer for item in batch]
        outcomes: list[tuple[Future[Outcome], Outcome]]
        try:
            outcomes = list(zip(answers, extractor.extract([item.job for item in batch]), strict=True))
        except ExtractorError as error:
            outcomes = [(answer, error) for answer in answers]
        except Exception as error:  # noqa: BLE001  a thread's own boundary: the next batch must still be read
            log_unexpected(error)
            outcomes = [(answer, internal_error()) for answer in answers]
        for answer, outcome in outcomes:
            answer.set_result(outcome)
