"""vLLM in this process: the default, on a CPU or a GPU."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from extractor.engine.loopback import require_loopback
from extractor.errors import EngineError

if TYPE_CHECKING:
    from vllm import LLM

KV_CACHE_GIB = 1
_ENVIRONMENT = {
    # One process: no worker processes to wait for, and their failure modes gone.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GIB),
    # Nothing may leave the machine: no hub, no usage statistics, no search for the host's public address.
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
}


class LocalEngine:
    """One vLLM engine holding one model.

    Args:
        folder: a model as Hugging Face writes it (config, safetensors, tokenizer).
        model: its id, for provenance; likewise `weights_sha256`, `precision` and `adapter`.
        context: tokens of prompt and output together.
        options: passed on to `vllm.LLM`, e.g. `load_format="dummy"` for a random model.
    """

    def __init__(  # noqa: PLR0913  what provenance must say of a model
        self,
        folder: Path,
        *,
        model: str,
        weights_sha256: str | None,
        precision: str,
        chat: Chat,
        context: int = 8192,
        adapter: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        require_loopback()
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        import vllm
        from vllm.platforms import current_platform

        on_cpu = current_platform.is_cpu()
        settings: dict[str, Any] = {
            "dtype": "auto",
            "max_model_len": context,
            "max_num_seqs": 64,
            "enable_prefix_caching": True,
            # CPU attention works in multiples of 32 tokens; small blocks mean little of a report is read twice.
            "block_size": 32 if on_cpu else 16,
            "enforce_eager": on_cpu,
            # One report or two at a time: on a CPU, activations of more leave its cache, and every report waits for all.
            **({"max_num_batched_tokens": 512} if on_cpu else {}),
            "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
            "disable_log_stats": True,
            "seed": 0,
        }
        logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"])
        try:
            self._llm: LLM = vllm.LLM(str(folder), **{**settings, **(options or {})})
        except (ValueError, RuntimeError, OSError) as error:
            raise EngineError(
                f"The model could not be loaded ({type(error).__name__}).",
                code="engine_start_failed",
                fix="Check it with: extractor models verify; more detail with VLLM_LOGGING_LEVEL=INFO.",
            ) from error
        self._tokenizer = self._llm.get_tokenizer()
        self._info = EngineInfo(
            model=model,
            weights_sha256=weights_sha256,
            precision=precision,
            adapter=adapter,
            engine=f"vllm {vllm.__version__} {'cpu' if on_cpu else 'gpu'}",
            context_length=context,
            block_size=self._llm.llm_engine.vllm_config.cache_config.block_size,
            chat=chat,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def llm(self) -> "LLM":
        """The vLLM engine itself, for benchmarks that compare with other ways of using it."""
        return self._llm

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def score(self, asks: Sequence[Ask]) -> list[Scores]:
        from vllm import SamplingParams

        pieces = [(i, ask.options[k : k + MAX_LOGPROBS]) for i, ask in enumerate(asks) for k in _starts(ask)]
        params = [
            SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=list(tokens))
            for _, tokens in pieces
        ]
        outputs = self._run([asks[i].prompt for i, _ in pieces], params)
        raw: list[dict[int, float]] = [{} for _ in asks]
        for (i, tokens), output in zip(pieces, outputs, strict=True):
            found = output.outputs[0].logprobs[0]
            raw[i] |= {token: found[token].logprob for token in tokens}
        counts = {
            i: (len(output.prompt_token_ids), output.num_cached_tokens or 0)
            for (i, _), output in zip(pieces, outputs, strict=True)
        }
        return [Scores(normalise([raw[i][t] for t in ask.options]), *counts[i]) for i, ask in enumerate(asks)]

    def generate(self, jobs: Sequence[Generation]) -> list[Generated]:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        params = [
            SamplingParams(
                max_tokens=job.max_tokens,
                temperature=0,
                structured_outputs=StructuredOutputsParams(regex=job.grammar),
            )
            for job in jobs
        ]
        outputs = self._run([job.prompt for job in jobs], params)
        return [
            Generated(
                o.outputs[0].text,
                len(o.prompt_token_ids),
                o.num_cached_tokens or 0,
                len(o.outputs[0].token_ids),
            )
            for o in outputs
        ]

    def _run(self, prompts: Sequence[tuple[int, ...]], params: list[Any]) -> list[Any]:
        if not prompts:
            return []
        try:
            outputs: list[Any] = self._llm.generate(
                [{"prompt_token_ids": list(p)} for p in prompts], params, use_tqdm=False
            )
        except (ValueError, RuntimeError) as error:
            # vLLM's message may quote the prompt: only its type may leave.
            raise EngineError(
                f"vLLM failed ({type(error).__name__}).", code="engine_failed", fix="Retry."
            ) from None
        return outputs

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()


def _starts(ask: Ask) -> range:
    return range(0, len(ask.options), MAX_LOGPROBS)
