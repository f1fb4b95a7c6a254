"""The peers on other engines: transformers under Outlines, and llama.cpp."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.peers.runs import LEVELS
from benchmarks.peers.task import WARM_UP, Answer, Request, Task, judged
from eval.cases import Case
from extractor.store import cache, entry, locate, on_stderr
from extractor.store.fetch import fetch


class Transformers:
    """Outlines on transformers, one report after the other: Outlines takes one schema for a whole batch.

    So a report that is sent with others waits for those before it, and its latency says so.
    """

    def __init__(self, task: Task, model: str) -> None:
        import outlines
        from outlines.backends import LLGuidanceBackend
        from transformers import AutoTokenizer

        self._task = task
        folder = locate(model).path
        dtype = "bfloat16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text("utf-8") else "float32"
        self.weights = f"{model}, its int8 values as {dtype}"
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = outlines.from_transformers(dequantised(folder, dtype), self._tokenizer)
        self._backend = LLGuidanceBackend(self._model)

    def warm(self, case: Case) -> None:
        self._write(self._task.request(case), WARM_UP)

    def read(self, cases: Sequence[Case]) -> Iterator[Answer]:
        start = time.perf_counter()
        for case in cases:
            request = self._task.request(case)
            text = self._write(request, self._task.max_tokens)
            valid, values = judged(request.grammar, text)
            took = time.perf_counter() - start
            yield Answer(case, took, values, valid, len(self._tokenizer(text)["input_ids"]))

    def _write(self, request: Request, max_tokens: int) -> str:
        import outlines
        from outlines.inputs import Chat

        processor = self._backend.get_json_schema_logits_processor(json.dumps(request.schema))
        written = outlines.Generator(self._model, processor=processor)(
            Chat(request.messages),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self._tokenizer.eos_token_id,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        return str(written)


def dequantised(folder: Path, dtype: str) -> Any:
    """Load an int8 checkpoint of the store as a plain transformers model: the same values, wider.

    transformers has no int8 kernels for a CPU, so this is what it can do with the same weights.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    wide = getattr(torch, dtype)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    del config.quantization_config
    config.dtype = wide
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=wide, attn_implementation="sdpa")
    stored = load_file(folder / "model.safetensors")
    weights = {}
    for name in [name for name in stored if not name.endswith("_scale")]:
        value, scale = stored.pop(name), stored.pop(f"{name}_scale", None)
        weights[name] = (value if scale is None else value.float() * scale).to(wide)
    model.load_state_dict(weights, assign=True)
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)  # computed, so not stored
    return model.eval()


SLOTS = max(LEVELS)
SLOT = 4096
"""Tokens of prompt and output that a slot has room for."""


class LlamaCpp:
    """llama.cpp's own server, in this process, without HTTP: one slot a request, continuous batching."""

    def __init__(self, task: Task, model: str) -> None:
        import xllamacpp

        self._task = task
        self.weights = f"{entry(model).published}, Q4_K_M"
        cores = len(os.sched_getaffinity(0))
        params = xllamacpp.CommonParams()
        params.model.path = str(gguf(model))
        params.n_parallel = SLOTS
        params.n_ctx = SLOTS * SLOT
        params.cpuparams.n_threads = cores
        params.cpuparams_batch.n_threads = cores
        self._server = xllamacpp.Server(params)

    def warm(self, case: Case) -> None:
        self._write(self._task.request(case), WARM_UP)

    def read(self, cases: Sequence[Case]) -> Iterator[Answer]:
        start = time.perf_counter()
        with ThreadPoolExecutor(len(cases)) as threads:
            for answer in as_completed([threads.submit(self._answer, case, start) for case in cases]):
                yield answer.result()

    def _answer(self, case: Case, start: float) -> Answer:
        request = self._task.request(case)
        said = self._write(request, self._task.max_tokens)
        valid, values = judged(request.grammar, said["choices"][0]["message"]["content"] or "")
        took = time.perf_counter() - start
        return Answer(case, took, values, valid, said["usage"]["completion_tokens"])

    def _write(self, request: Request, max_tokens: int) -> dict[str, Any]:
        """Raises `RuntimeError` with what the server says, where it answers with an error."""
        held = {"type": "json_schema", "json_schema": {"name": "form", "schema": request.schema}}
        asked = {"messages": request.messages, "max_tokens": max_tokens, "temperature": 0}
        said: dict[str, Any] = self._server.handle_chat_completions(asked | {"response_format": held})
        if "choices" not in said:
            raise RuntimeError(f"llama.cpp: {str(said)[:120]}")
        return said


def gguf(model: str) -> Path:
    """The published file of a model, or of the base of a model with an adapter; fetched again if it was deleted.

    Raises `StoreError`.
    """
    base = entry(entry(model).published)
    if base.gguf is None:
        raise ValueError(f"{base.id} has no GGUF file")
    shelf = cache.shelf(base.id)
    with cache.locked(shelf, on_stderr):
        shelf.make()
        return fetch(base, base.gguf, shelf, on_stderr)
