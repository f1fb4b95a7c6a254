"""When to ask again, and after how long."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 60.0
"""Seconds. Who asks for more by `Retry-After` is not asked again at all."""

_BUSY: Final = frozenset({429, 503})

# A server that took too long would only start the same work again, and these three say it was never there.
_FINAL: Final = (httpx.ReadTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError)

Heard = httpx.Response | httpx.RequestError


def wait_before_retry(heard: Heard, failures: int) -> float | None:
    """Return the seconds to wait after `failures` failures in a row; `None` where asking again is no use.

    Asked again: no connection or a broken one, 429 and 503. `Retry-After` is obeyed; without it the wait
    doubles each time, less up to half of it by chance, so that clients do not all come back at once.
    """
    if isinstance(heard, httpx.Response):
        if heard.status_code not in _BUSY:
            return None
        asked = retry_after(heard)
        if asked is not None:
            return asked if asked <= LONGEST_WAIT else None
    elif isinstance(heard, _FINAL) or not isinstance(heard, httpx.TransportError):
        return None
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1)  # noqa: S311, it spreads load and keeps no secret


def retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date (RFC 9110, section 10.2.3)."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
