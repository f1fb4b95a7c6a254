"""The peers: what each is, and every setting of it that is not its own default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.peers.task import Reader, Task
from benchmarks.peers.with_vllm import (
    TRIES,
    Choice,
    Constrained,
    Retried,
    Vllm,
    free,
    structured,
    through_outlines,
)
from benchmarks.peers.without_vllm import SLOT, SLOTS, LlamaCpp, Transformers
from extractor.store import default_id, entry

Open = Callable[[Task, str], Reader]


@dataclass(frozen=True)
class Peer:
    """`share` is its part of the time, against the others'; what it does not use goes to those after it."""

    title: str
    settings: str
    open: Open
    share: float = 1


def _base(_: Task, model: str) -> Reader:
    return Choice(entry(model).published)


COMPACT = {"disable_any_whitespace": True}
PEERS: Mapping[str, Peer] = {
    "choice": Peer("`choice`", "`extractor`, as it comes.", lambda _, model: Choice(model)),
    "outlines-vllm-guidance": Peer(
        "Outlines + vLLM, guidance",
        "`outlines.from_vllm_offline`; optional white space off, which favours it over its default.",
        partial(Vllm, structured={"backend": "guidance", **COMPACT}, talk=Constrained, via=through_outlines),
        share=1.5,
    ),
    "outlines-vllm-xgrammar": Peer(
        "Outlines + vLLM, xgrammar",
        "The same, with vLLM's xgrammar backend.",
        partial(Vllm, structured={"backend": "xgrammar", **COMPACT}, talk=Constrained, via=through_outlines),
        share=1.5,
    ),
    "outlines-vllm-core": Peer(
        "Outlines + vLLM, outlines_core",
        "The same, with vLLM's outlines backend, whose white space cannot be switched off; 120 s to compile a "
        "grammar instead of 5, which favours it.",
        partial(Vllm, structured={"backend": "outlines"}, talk=Constrained, via=through_outlines),
        share=1.5,
    ),
    "vllm": Peer(
        "vLLM structured outputs",
        "`StructuredOutputsParams(json=…)`, all else vLLM's defaults: the backend is its choice, white space allowed.",
        partial(Vllm, structured={"backend": "auto"}, talk=Constrained, via=structured),
        share=1.5,
    ),
    "llama.cpp": Peer(
        "llama.cpp",
        f"xllamacpp's prebuilt wheel, {SLOTS} slots of {SLOT} tokens. 4-bit weights, less to read for each token, "
        "favour it; the wheel uses no AVX-512, and instructions are cached in each slot apart, which does not. "
        "The weights are the published ones, without the default model's adapter.",
        LlamaCpp,
    ),
    "retry": Peer(
        "free text, retried",
        f"vLLM without a grammar; Pydantic's errors are sent back, at most {TRIES} tries. Told in addition how to "
        "write JSON (`eval.free`), read generously, and a number that the report does not hold counts as valid.",
        partial(Vllm, structured={"backend": "auto"}, talk=Retried, via=free),
    ),
    "outlines-transformers": Peer(
        "Outlines + transformers",
        "`outlines.from_transformers`, one report after the other. Its llguidance backend, kept between reports, "
        "favours it over its default, which compiles an automaton for each report; there are no int8 kernels.",
        Transformers,
    ),
    "choice-base": Peer(
        "`choice`, base weights",
        "`extractor` with the weights that llama.cpp has, in int8: the adapter's part in the agreement.",
        _base,
    ),
}
DEFAULT = tuple(name for name in PEERS if name != "choice-base")


def open_peer(name: str, task: Task) -> Reader:
    return PEERS[name].open(task, default_id())
