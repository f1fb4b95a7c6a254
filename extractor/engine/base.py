"""What the decoder needs from a language model: token ids, scores over a few tokens, constrained text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from extractor.errors import EngineError

MAX_LOGPROBS = 128
"""vLLM scores at most this many tokens of one ask; larger sets are scored in pieces."""


@dataclass(frozen=True)
class Chat:
    """A model family's chat template as five strings: what stands around the instructions and the report."""

    system_prefix: str = ""
    system_suffix: str = "\n\n"
    user_prefix: str = ""
    user_suffix: str = "\n\n"
    assistant_prefix: str = ""


@dataclass(frozen=True)
class EngineInfo:
    """Which model answers, for provenance and for laying out prompts.

    `weights_sha256` is None where nothing here has seen the weights (a server's).
    `block_size` is the KV-cache block in tokens: a prefix is shared between prompts in whole blocks.
    `context_length` is in tokens, prompt and output together.
    """

    model: str
    weights_sha256: str | None
    precision: str
    adapter: str | None
    engine: str
    context_length: int
    block_size: int
    chat: Chat


@dataclass(frozen=True)
class Ask:
    """Score each token of `options` as the next token after `prompt` (all are token ids).

    Prompts of one `group` share most of their tokens: an engine of several machines keeps them together.
    """

    prompt: tuple[int, ...]
    options: tuple[int, ...]
    group: int = 0


@dataclass(frozen=True)
class Scores:
    """Natural-log probabilities over `Ask.options`, normalised over those options alone (they exp-sum to 1)."""

    logprobs: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True)
class Generation:
    """Write text after `prompt` that the regular expression `grammar` matches in full."""

    prompt: tuple[int, ...]
    grammar: str
    max_tokens: int
    group: int = 0


@dataclass(frozen=True)
class Generated:
    text: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int


class Engine(Protocol):
    """One small protocol; `local` runs vLLM in this process, `remote` talks to vLLM servers.

    Methods raise `EngineError` when the model cannot answer. They are called from one thread at a time.
    """

    @property
    def info(self) -> EngineInfo: ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, no special tokens added at either end."""
        ...

    def score(self, asks: Sequence[Ask]) -> list[Scores]:
        """Answer all `asks` in one batch, in order."""
        ...

    def generate(self, jobs: Sequence[Generation]) -> list[Generated]:
        """Greedy constrained generation of all `jobs` in one batch, in order."""
        ...

    def close(self) -> None: ...


def normalise(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Renormalise log-probabilities over a closed set: a model gives them over its whole vocabulary.

    Raises:
        EngineError: a value is not a number, or the model rules out every option.
    """
    top = max(logprobs)
    if not math.isfinite(top) or any(math.isnan(value) for value in logprobs):
        raise EngineError(
            "The model gave no probability to any option.", code="decode_failed", fix="Verify the model."
        )
    total = top + math.log(math.fsum(math.exp(value - top) for value in logprobs))
    return tuple(value - total for value in logprobs)
