"""The reports that wait to be read: bounded, and every request gets its turn."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Condition
from typing import NamedTuple

from extractor.errors import ExtractorError
from extractor.pipeline import Job
from extractor.result import Extraction

Outcome = Extraction | ExtractorError


class Waiting(NamedTuple):
    """A report in the line; cancel its future to take it back, and its place is free."""

    job: Job
    answer: Future[Outcome]


class Line:
    """A queue of at most `most` reports.

    Each request in turn gives one report to a batch, so that a long list does not keep a single report waiting
    until its end. The reports of one request are read in its own order.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._requests: deque[deque[Waiting]] = deque()
        self._closed = False
        self._changed = Condition()

    def __len__(self) -> int:
        with self._changed:
            return self._count()

    def put(self, request: Sequence[Waiting]) -> bool:
        """Take all reports of `request` and return True; where they do not all fit, take none."""
        with self._changed:
            if self._count() + len(request) > self._most:
                return False
            if request:
                self._requests.append(deque(request))
                self._changed.notify()
        return True

    def take(self, most: int, seconds: float | None = None) -> list[Waiting] | None:
        """Wait for reports, at most `seconds`, and take up to `most` of them; `None` once the line has ended.

        What is taken can no longer be cancelled.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._requests or self._closed, seconds)
            if self._closed and not self._requests:
                return None
            batch: list[Waiting] = []
            while self._requests and len(batch) < most:
                request = self._requests.popleft()
                item = request.popleft()
                if item.answer.set_running_or_notify_cancel():
                    batch.append(item)
                if request:
                    self._requests.append(request)
            return batch

    def close(self) -> None:
        """End the line behind those that wait in it."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _count(self) -> int:
        """Forget the reports that were taken back; return how many still wait."""
        kept = (deque(item for item in each if not item.answer.cancelled()) for each in self._requests)
        self._requests = deque(each for each in kept if each)
        return sum(map(len, self._requests))
