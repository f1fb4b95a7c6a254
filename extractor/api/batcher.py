"""One thread owns the model; whatever waits when it is free goes through as one batch.

Requests do not wait for a batch to fill: the first report starts at once, and those that arrive while it is
being read share the next batch.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Final, NamedTuple

from extractor.api.line import Line, Outcome, Waiting
from extractor.api.problems import NotReadyError, QueueFullError, internal_error, log_unexpected
from extractor.engine.base import Ask, EngineInfo
from extractor.errors import ExtractorError, InputError
from extractor.pipeline import Extractor, Job
from extractor.result import Extraction

logger = logging.getLogger("extractor.api")

PROBE_EVERY: Final = 5
"""Seconds between two looks at an engine that failed."""

LONGEST_WAIT: Final = 60
"""Seconds. Nobody is sent away for longer: others may leave before."""

_PROBE: Final = Ask(prompt=(1,), options=(0, 1))


class _Trouble(NamedTuple):
    """Why no report can be read now, and the seconds after which asking again may help."""

    detail: str
    code: str
    fix: str
    retry_after: int | None


_LOADING: Final = _Trouble(
    "The model is still loading.", "model_loading", "Try again when GET /health/ready answers 200.", 5
)
_DRAINING: Final = _Trouble("The server is shutting down.", "draining", "Try again later.", 5)


class Batcher:
    """Reads reports with one `Extractor`, which its thread opens, prepares for every schema and uses alone.

    `max_batch` and `max_waiting` are in reports. An engine that fails is asked for one token every few seconds
    until it answers again; with `probe_idle`, also one that has nothing to do.
    """

    def __init__(
        self,
        open_extractor: Callable[[], Extractor],
        schemas: Sequence[str],
        *,
        max_batch: int,
        max_waiting: int,
        probe_idle: bool = False,
    ) -> None:
        self._open_extractor = open_extractor
        self._schemas = schemas
        self._max_batch = max_batch
        self._probe_idle = probe_idle
        self._line = Line(max_waiting)
        self._reading = 0
        self._seconds_each: float | None = None
        self._trouble: _Trouble | None = _LOADING
        self._thread = Thread(target=self._run, name="extractor", daemon=True)
        self.info: EngineInfo | None = None
        self.draining = False

    @property
    def waiting(self) -> int:
        return len(self._line)

    def start(self) -> None:
        self._thread.start()

    def drain(self) -> None:
        """Accept nothing more; what was accepted is still read. Safe in a signal handler: it takes no lock."""
        self.draining = True

    def close(self) -> None:
        """Answer what is waiting, then stop. A model that is still loading is not waited for."""
        self.drain()
        self._line.close()
        if self.info is not None:
            self._thread.join()

    def check_ready(self) -> EngineInfo:
        """Return which model answers; raise `NotReadyError` while none does."""
        trouble = _DRAINING if self.draining else self._trouble
        if trouble is not None or self.info is None:
            detail, code, fix, retry_after = trouble or _LOADING
            raise NotReadyError(detail, code=code, fix=fix, retry_after=retry_after)
        return self.info

    def submit(self, jobs: Sequence[Job]) -> list[Future[Outcome]]:
        """Queue all `jobs` or none; cancel a future to take its job back.

        Raises:
            NotReadyError: no model answers.
            QueueFullError: too many reports wait already.
        """
        self.check_ready()
        request = [Waiting(job, Future()) for job in jobs]
        if not self._line.put(request):
            raise QueueFullError(
                "Too many reports are waiting.",
                code="queue_full",
                fix="Send it again after the seconds in Retry-After.",
                retry_after=self._drained_in(),
            )
        return [item.answer for item in request]

    def _drained_in(self) -> int:
        """Return the seconds until all that is accepted now is read, at the pace of the last batches."""
        seconds = (self.waiting + self._reading) * (self._seconds_each or 1.0)
        return min(max(math.ceil(seconds), 1), LONGEST_WAIT)

    def _run(self) -> None:
        extractor = self._open()
        if extractor is None:
            return
        while (batch := self._line.take(self._max_batch, self._patience())) is not None:
            well = self._read(extractor, batch) if batch else self._patience() is None
            if not well:
                self._probe(extractor)

    def _patience(self) -> int | None:
        return PROBE_EVERY if self._trouble or self._probe_idle else None

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
            self.info = info
            self._trouble = None
            logger.info("Ready: %s", info.model)
            return extractor
        detail = f"The model could not be loaded: {reason}"
        logger.error("%s", detail)
        self._trouble = _Trouble(detail, "model_failed", "Mend that and start the server again.", None)
        return None

    def _read(self, extractor: Extractor, batch: Sequence[Waiting]) -> bool:
        """Answer `batch`; return False where every report failed, and none by its own fault."""
        self._reading = len(batch)
        start = time.monotonic()
        try:
            outcomes = extractor.extract([item.job for item in batch])
        except ExtractorError as error:
            outcomes = [error] * len(batch)
        except Exception as error:  # noqa: BLE001  a thread's own boundary: the next batch must still be read
            log_unexpected(error)
            outcomes = [internal_error()] * len(batch)
        took = (time.monotonic() - start) / len(batch)
        self._seconds_each = took if self._seconds_each is None else (self._seconds_each + took) / 2
        self._reading = 0
        for item, outcome in zip(batch, outcomes, strict=True):
            item.answer.set_result(outcome)
        return any(isinstance(outcome, (Extraction, InputError)) for outcome in outcomes)

    def _probe(self, extractor: Extractor) -> None:
        """Ask the engine for one token, and be ready or not by its answer."""
        try:
            extractor.engine.score([_PROBE])
        except ExtractorError as error:
            reason = error.detail
        except Exception as error:  # noqa: BLE001  as above: the engine may come back
            reason = f"{type(error).__name__}."
        else:
            if self._trouble:
                logger.info("The engine answers again.")
            self._trouble = None
            return
        detail = f"The engine does not answer: {reason}"
        if self._trouble is None:
            logger.error("%s", detail)
        fix = "Try again when GET /health/ready answers 200."
        self._trouble = _Trouble(detail, "engine_down", fix, PROBE_EVERY)
