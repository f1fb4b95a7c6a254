"""The vLLM servers behind one model: which of them are well, and which one a report's questions go to."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from threading import Event, Lock, Thread
from typing import Any, Final

import httpx

from extractor.errors import EngineError

logger = logging.getLogger("extractor.engine")

LOOK_EVERY: Final = 2
"""Seconds between two looks at a server that is down."""

PATIENCE: Final = 5
"""Seconds in which a server must be reached, and must say how it is."""

KEEP_ALIVE: Final = 4
"""Seconds. vLLM closes a connection that was idle for 5; a question sent just then would look like a failure."""

_START: Final = "Start vLLM there, or correct --url."
_CHECK: Final = "Check the server's version, model and context length."


@dataclass(eq=False)
class Server:
    """What one server said of itself, and why it cannot be asked now, if it cannot."""

    url: str
    model: str = ""
    version: str = ""
    context_length: int = 0
    trouble: EngineError | None = None

    def place(self, group: int) -> bytes:
        """Where it stands in the group's own order of servers: the lowest is asked first.

        Rendezvous hashing (Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998): the groups of a
        server that is lost spread over all others, and no other group moves.
        """
        return blake2b(f"{self.url} {group}".encode(), digest_size=8).digest()


class ServerPool:
    """Servers that serve one model, under any of `names`. Threads may share it.

    A server that cannot be reached, is silent for `timeout` seconds, answers 5xx or serves another model is down.
    Its own thread looks at it every few seconds until it is well; before that it is asked only where no other
    server answers, and looked at first even then. Proxies and passwords that the environment names are not used: a report
    goes to the server it was meant for and to no other.

    Raises:
        EngineError: no server answers (`engine_unreachable`, `engine_refused`), or those that do serve another
            model (`engine_wrong_model`).
    """

    def __init__(self, urls: Sequence[str], *, model: str, names: Sequence[str], timeout: float) -> None:
        for url in urls:
            if "@" in url:
                raise EngineError(
                    "The address of a vLLM server holds a name or password.",
                    code="engine_address",
                    field="--url",
                    fix="Use one like http://gpu-box:8000; keep the server in a protected network.",
                )
        self._model, self._names = model, names
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=PATIENCE),
            limits=httpx.Limits(keepalive_expiry=KEEP_ALIVE),
            verify=httpx.create_ssl_context(),  # certificates that the environment names are
            trust_env=False,
        )
        roots = dict.fromkeys(url.rstrip("/").removesuffix("/v1") for url in urls)
        self._servers = [Server(url) for url in roots]
        self._lock, self._closed = Lock(), Event()
        with ThreadPoolExecutor(len(self._servers)) as threads:
            troubles = [trouble for trouble in threads.map(self._look, self._servers) if trouble]
        if len(troubles) == len(self._servers):
            self._client.close()
            raise _together(troubles)
        well = [server for server in self._servers if not server.trouble]
        self.version = ", ".join(sorted({server.version for server in well}))
        self.context_length = min(server.context_length for server in well)
        self._watchers = [
            Thread(target=self._watch, args=(server,), name="vllm-watch", daemon=True)
            for server in self._servers
        ]
        for watcher in self._watchers:
            watcher.start()

    def call(self, path: str, body: Mapping[str, Any], *, group: int = 0) -> Any:
        """Post `body`, with the model's name added, to the group's server, and where it fails to the next.

        Raises:
            EngineError: a server refused it (`engine_refused`), or none can be asked.
        """
        troubles = []
        order = sorted(self._servers, key=lambda server: (server.trouble is not None, server.place(group)))
        for server in order:
            trouble = self._look(server) if server.trouble else None
            answer = trouble or self._ask(server, path, body)
            if not isinstance(answer, EngineError):
                return answer
            troubles.append(answer)
        raise _together(troubles)

    def _ask(self, server: Server, path: str, body: Mapping[str, Any]) -> Any:
        """Return what `server` answers, or why it did not."""
        try:
            answer = self._client.post(server.url + path, json={"model": server.model, **body})
            return answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            trouble = _trouble(server, error)
        if trouble.code != "engine_refused":
            return self._mark(server, trouble)
        # Its fault, if it was started again with another model; else the question's, which no server would answer.
        lost = self._look(server)
        if lost is None:
            raise trouble
        return lost

    def _watch(self, server: Server) -> None:
        while not self._closed.wait(LOOK_EVERY):
            if server.trouble:
                self._look(server)

    def _look(self, server: Server) -> EngineError | None:
        return self._mark(server, self._examine(server))

    def _mark(self, server: Server, trouble: EngineError | None) -> EngineError | None:
        with self._lock:
            before, server.trouble = server.trouble, trouble
        if trouble and (before is None or before.code != trouble.code):
            logger.warning("A vLLM server is down. %s", trouble)
        elif before and not trouble:
            logger.info("A vLLM server is well again: %s", server.url)
        return trouble

    def _examine(self, server: Server) -> EngineError | None:
        """Ask `server` how it is and what it serves; return why it cannot be used, if so."""
        try:
            self._get(server, "/health")
            version = self._get(server, "/version").json()["version"]
            cards = self._get(server, "/v1/models").json()["data"]
            # An adapter's card leaves the context to its base model's.
            context = max(card["max_model_len"] or 0 for card in cards)
            served = {card["id"] for card in cards}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
            return _trouble(server, error)
        name = next((name for name in self._names if name in served), None)
        if name is None:
            return EngineError(
                f"{server.url} does not serve {self._model}.",
                code="engine_wrong_model",
                fix=f"Name its model with --model, or start it with --served-model-name {self._model}.",
            )
        server.model, server.version, server.context_length = name, version, context
        return None

    def _get(self, server: Server, path: str) -> httpx.Response:
        return self._client.get(server.url + path, timeout=PATIENCE).raise_for_status()

    def close(self) -> None:
        self._closed.set()
        for watcher in self._watchers:
            watcher.join()
        self._client.close()


def _trouble(server: Server, error: Exception) -> EngineError:
    """Say what failed, in no words of the server's own: they may quote the prompt."""
    said, code, fix = f"{server.url}: {type(error).__name__}", "engine_unreachable", _START
    if isinstance(error, httpx.HTTPStatusError):
        said = f"{error.request.url} answered {error.response.status_code}"
        if error.response.is_client_error:
            code, fix = "engine_refused", _CHECK
    return EngineError(said, code=code, fix=fix)


def _together(troubles: Sequence[EngineError]) -> EngineError:
    """Make one error of all servers'. One that answers and cannot be used says more than one that is not there."""
    telling = next((one for one in troubles if one.code != "engine_unreachable"), troubles[0])
    return EngineError(" ".join(one.detail for one in troubles), code=telling.code, fix=telling.fix)
