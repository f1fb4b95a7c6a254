"""The application: routes, error handling, the document, and the thread that owns the model."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from litestar import Litestar
from litestar.datastructures import MutableScopeHeaders, State
from litestar.types import HTTPScope, Message, Scope

from extractor.api import routes, schemas
from extractor.api.batcher import Batcher
from extractor.api.docs import openapi_config, static_files
from extractor.api.lifecycle import announce
from extractor.api.problems import on_error
from extractor.api.routes import Settings
from extractor.pipeline import Extractor
from schemas import registry

__all__ = ["Settings", "create_app"]

access = logging.getLogger("extractor.access")

_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})


async def _log_access(message: Message, scope: Scope) -> None:
    """Log an answer by its route and not by its address: a path or a query can hold patient text as well."""
    if message["type"] == "http.response.start":
        method = cast("HTTPScope", scope)["method"]
        access.info(
            "%s %s %d",
            method if method in _METHODS else "-",
            scope.get("path_template") or "-",
            message["status"],
        )


async def _part(message: Message, scope: Scope) -> None:
    """Let go of connections while draining, so that a caller's next request finds another server."""
    if message["type"] == "http.response.start" and scope["litestar_app"].state.batcher.draining:
        MutableScopeHeaders.from_message(message)["Connection"] = "close"


@asynccontextmanager
async def _model(app: Litestar) -> AsyncIterator[None]:
    """Load the model in the background from start-up on; answer what waits before shutting down."""
    batcher = cast("Batcher", app.state.batcher)
    batcher.start()
    yield
    batcher.close()


def create_app(settings: Settings, open_extractor: Callable[[], Extractor]) -> Litestar:
    """Return the API. `open_extractor` runs once, in the thread that will own the model."""
    refs = [version.ref for version in registry.all_versions()]
    batcher = Batcher(
        open_extractor,
        refs,
        max_batch=settings.max_batch,
        max_waiting=settings.max_waiting,
        probe_idle=settings.probe_idle,
    )
    return Litestar(
        [
            routes.extract,
            schemas.list_schemas,
            schemas.list_versions,
            schemas.show_schema,
            schemas.show_json_schema,
            routes.list_models,
            routes.live,
            routes.ready,
            routes.home,
            static_files(),
        ],
        state=State({"batcher": batcher, "settings": settings}),
        lifespan=[_model],
        before_send=[_log_access, announce, _part],
        exception_handlers={Exception: on_error},
        openapi_config=openapi_config(),
        request_max_body_size=settings.max_body,
        logging_config=None,  # Litestar would log exceptions with their messages
        debug=False,
    )
