"""What an answer says of the schema version it was asked in: deprecated since when, gone when, what next.

The headers are `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and `rel="successor-version"` (RFC 5829). A handler
says which version a request concerns; the headers then stand on whatever answer leaves, errors too.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, Final

from litestar import Request
from litestar.datastructures import MutableScopeHeaders
from litestar.types import Message, Scope

from schemas import registry
from schemas.version import SchemaVersion

_KEY: Final = "schema_version"


def concerns(request: Request[Any, Any, Any], version: SchemaVersion) -> None:
    """Remember that `request` is about `version`."""
    request.scope["state"][_KEY] = version


async def announce(message: Message, scope: Scope) -> None:
    """Put the lifecycle headers on an answer that is about to leave."""
    version = scope["state"].get(_KEY)
    if message["type"] == "http.response.start" and isinstance(version, SchemaVersion):
        MutableScopeHeaders.from_message(message).update(lifecycle_headers(version))


def lifecycle_headers(version: SchemaVersion) -> Mapping[str, str]:
    """Return the headers of a deprecated version; none for any other."""
    if version.deprecated is None:
        return {}
    headers = {"Deprecation": f"@{_midnight(version.deprecated).timestamp():.0f}"}
    if version.sunset is not None:
        headers["Sunset"] = format_datetime(_midnight(version.sunset), usegmt=True)
    successor = _successor(version)
    if successor is not None:
        path = f"/schemas/{successor.name}/{successor.version}"
        headers["Link"] = f'<{path}>; rel="successor-version"'
    return headers


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _successor(version: SchemaVersion) -> SchemaVersion | None:
    """Return the newest stable version of the same name that is newer than `version`."""
    newer = [
        other
        for other in registry.all_versions()
        if other.name == version.name and other.version > version.version and other.status == "stable"
    ]
    return newer[-1] if newer else None
