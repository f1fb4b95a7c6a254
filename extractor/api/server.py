"""The process around the API: it listens, and on SIGTERM or Ctrl-C it drains."""

import os
import signal
import time
from types import FrameType

import uvicorn
from litestar import Litestar


class _Server(uvicorn.Server):
    """uvicorn, except for what a signal does.

    uvicorn stops listening at once. A load balancer needs a moment to see that this server is no longer ready,
    so after SIGTERM connections are still answered for `grace` seconds, with 503. Ctrl-C comes from a person,
    and waits only for what was accepted.
    """

    def __init__(self, app: Litestar, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._app = app
        self._grace = grace
        self._until: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._until is not None:
            os._exit(128 + sig)  # the second signal: at once, and as the first process of a container too
        self._app.state.batcher.drain()
        self._until = time.monotonic() + (0 if sig == signal.SIGINT else self._grace)

    async def on_tick(self, counter: int) -> bool:
        if self._until is not None and time.monotonic() >= self._until:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(app: Litestar, *, host: str, port: int, grace: float) -> None:
    """Answer on `host`:`port` until a signal; then `grace` seconds more, and until all accepted is answered."""
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, server_header=False, date_header=False
    )
    _Server(app, config, grace).run()
