"""vLLM servers by URL: one model behind one or several addresses, of which any may fail."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
from extractor.engine.pool import ServerPool
from extractor.errors import EngineError

CONCURRENCY = 64
BLOCK_SIZE = 16
"""Servers do not tell their KV block size; 16 tokens is vLLM's default on GPUs. It only shapes padding."""


class RemoteEngine:
    """One model on one or several vLLM servers (`vllm serve`, or `python -m vllm.entrypoints.openai.api_server`).

    `names` are those under which servers may serve it: its id, its hub repository.

    All questions about a report go to the same server, whose prefix cache holds it, while that server is well
    (`ServerPool`). The server's word is taken for which weights it runs, so provenance has no hash.

    Raises:
        EngineError: no server can be asked, or those that can serve another model.
    """

    def __init__(
        self, urls: Sequence[str], *, model: str, names: Sequence[str], chat: Chat, timeout: float = 600
    ) -> None:
        self._servers = ServerPool(urls, model=model, names=names, timeout=timeout)
        self._threads = ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="vllm-request")
        self._info = EngineInfo(
            model=model,
            weights_sha256=None,
            precision="server",
            adapter=None,
            engine=f"vllm {self._servers.version} server",
            context_length=self._servers.context_length,
            block_size=BLOCK_SIZE,
            chat=chat,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    def encode(self, text: str) -> list[int]:
        body = {"prompt": text, "add_special_tokens": False}
        return list(self._servers.call("/tokenize", body)["tokens"])

    def score(self, asks: Sequence[Ask]) -> list[Scores]:
        return list(self._threads.map(self._score, asks))

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
        return list(self._threads.map(self._generate, jobs))

    def _generate(self, job: Generation) -> Generated:
        answer = self._complete(
            job.prompt, job.group, max_tokens=job.max_tokens, structured_outputs={"regex": job.grammar}
        )
        text: str = answer["choices"][0]["text"]
        return Generated(text, len(job.prompt), _cached(answer), answer["usage"]["completion_tokens"])

    def _complete(self, prompt: Sequence[int], group: int, **settings: Any) -> Any:
        body = {"prompt": list(prompt), "temperature": 0, "seed": 0, **settings}
        return self._servers.call("/v1/completions", body, group=group)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._servers.close()


def _cached(answer: Any) -> int:
    """Cached prompt tokens, where the server counts them (`--enable-prompt-tokens-details`)."""
    details = answer["usage"].get("prompt_tokens_details") or {}
    return int(details.get("cached_tokens") or 0)
