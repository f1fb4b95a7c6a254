"""From the headers of RFC 9745 and RFC 8594 to a warning at the caller's own line."""

import inspect
import re
import warnings
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

import httpx

from extractor.client.errors import SchemaDeprecatedWarning

_PACKAGE = __name__.rpartition(".")[0]


def warn_if_deprecated(answer: httpx.Response) -> None:
    """Warn where `answer` says that its schema version is deprecated."""
    if "deprecation" not in answer.headers:
        return
    since = _since(answer.headers["deprecation"])
    gone = _gone(answer.headers.get("sunset", ""))
    link = answer.links.get("successor-version", {}).get("url", "")
    successor = re.search(r"/schemas/([^/]+)/(\d+)$", link)
    said = (
        f"This schema version is deprecated since {since}." if since else "This schema version is deprecated."
    )
    if gone:
        said += f" It may be gone from {gone} on."
    if successor:
        said += f" Use {successor[1]}@{successor[2]}."
    warnings.warn(said, SchemaDeprecatedWarning, stacklevel=_outside())


def _since(header: str) -> date | None:
    try:
        return datetime.fromtimestamp(int(header.strip().removeprefix("@")), UTC).date()
    except (ValueError, OverflowError, OSError):
        return None


def _gone(header: str) -> date | None:
    try:
        return parsedate_to_datetime(header).date()
    except (ValueError, OverflowError):
        return None


def _outside() -> int:
    """Return the `stacklevel` at which `warnings.warn` above names the first line that is not ours."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
