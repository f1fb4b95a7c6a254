"""vLLM servers by URL: one model behind one or several addresses, of which any may fail."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from extractor.engine.base import (
    MAX_LOGPROBS,
    Ask,
    Chat,
    EngineInfo,
    Generated,
    Generation,
    Scores,
    normalise,
)
from extractor.errors import EngineError

CONCURRENCY = 64
BLOCK_SIZE = 16
"""Servers do not tell their KV block size; 16 tokens is vLLM's default on GPUs. It only shapes padding."""


class RemoteEngine:
    """One model on one or several vLLM servers (`vllm serve`, or `python -m vllm.entrypoints.openai.api_server`).

    `names` are those under which servers may serve it: its id, its hub repository.

    All questions about a report go to the same server, whose prefix cache holds it; where that server does not
    answer, they go to the next. The server's word is taken for which weights it runs, so provenance has no hash.

    Raises:
        EngineError: no server answers (`engine_unreachable`), or they serve another model (`engine_wrong_model`).
    """

    def __init__(
        self, urls: Sequence[str], *, model: str, names: Sequence[str], chat: Chat, timeout: float = 600
    ) -> None:
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout, connect=5), limits=httpx.Limits(max_connections=CONCURRENCY)
        )
        self._urls = [url.rstrip("/").removesuffix("/v1") for url in urls]
        self._pool = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="vllm-request")
        try:
            self._served, self._info = self._meet(model, names, chat)
        except EngineError:
            self.close()
            raise

    def _meet(self, model: str, names: Sequence[str], chat: Chat) -> tuple[str, EngineInfo]:
        """Find the model's name on the servers, and what they say of it."""
        listed = {entry["id"]: entry for entry in self._call("GET", "/v1/models")["data"]}
        served = next((name for name in names if name in listed), None)
        if served is None:
            raise EngineError(
                f"The server does not serve {model}.",
                code="engine_wrong_model",
                fix=f"Name its model with --model, or start it with --served-model-name {model}.",
            )
        return served, EngineInfo(
            model=model,
            weights_sha256=None,
            precision="server",
            adapter=None,
            engine=f"vllm {self._call('GET', '/version')['version']} server",
            context_length=listed[served]["max_model_len"],
            block_size=BLOCK_SIZE,
            chat=chat,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def encode(self, text: str) -> list[int]:
        body = {"model": self._served, "prompt": text, "add_special_tokens": False}
        return list(self._call("POST", "/tokenize", body)["tokens"])

    def score(self, asks: Sequence[Ask]) -> list[Scores]:
        return list(self._pool.map(self._score, asks))

    def _score(self, ask: Ask) -> Scores:
        found: dict[str, float] = {}
        for start in range(0, len(ask.options), MAX_LOGPROBS):
            answer = self._complete(
                ask.prompt,
                ask.group,
                max_tokens=1,
                logprobs=1,
                logprob_token_ids=list(ask.options[start : start + MAX_LOGPROBS]),
                return_tokens_as_token_ids=True,
            )
            found |= answer["choices"][0]["logprobs"]["top_logprobs"][0]
        try:
            logprobs = [found[f"token_id:{token}"] for token in ask.options]
        except KeyError:
            raise EngineError(
                "The server does not score given tokens.",
                code="engine_too_old",
                fix="Use vLLM 0.32 or newer.",
            ) from None
        return Scores(normalise(logprobs), len(ask.prompt), _cached(answer))

    def generate(self, jobs: Sequence[Generation]) -> list[Generated]:
        return list(self._pool.map(self._generate, jobs))

    def _generate(self, job: Generation) -> Generated:
        answer = self._complete(
            job.prompt, job.group, max_tokens=job.max_tokens, structured_outputs={"regex": job.grammar}
        )
        text: str = answer["choices"][0]["text"]
        return Generated(text, len(job.prompt), _cached(answer), answer["usage"]["completion_tokens"])

    def _complete(self, prompt: Sequence[int], group: int, **settings: Any) -> Any:
        body = {"model": self._served, "prompt": list(prompt), "temperature": 0, "seed": 0, **settings}
        return self._call("POST", "/v1/completions", body, group=group)

    def _call(self, method: str, path: str, body: Any = None, *, group: int = 0) -> Any:
        """Ask the group's server, then the others. A server's own words may quote the prompt, so only its status is told."""
        said = "no servers"
        for attempt in range(len(self._urls)):
            url = self._urls[(group + attempt) % len(self._urls)]
            try:
                answer = self._client.request(method, url + path, json=body)
            except httpx.HTTPError as error:
                said = f"{url}: {type(error).__name__}"
                continue
            if answer.status_code == httpx.codes.OK:
                return answer.json()
            said = f"{url}{path} answered {answer.status_code}"
            if answer.is_client_error:
                raise EngineError(
                    said, code="engine_refused", fix="Check the server's version, model and context length."
                )
        raise EngineError(f"{said}.", code="engine_unreachable", fix="Start vLLM there, or correct --url.")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()


def _cached(answer: Any) -> int:
    """Cached prompt tokens, where the server counts them (`--enable-prompt-tokens-details`)."""
    details = answer["usage"].get("prompt_tokens_details") or {}
    return int(details.get("cached_tokens") or 0)
