"""A published GGUF file, read as the checkpoint it will become: the settings and tensors in its words.

GGUF's names come from https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, section "Standardized tensor
names"; the checkpoint's from transformers' Llama and Qwen2 models.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ARCHITECTURES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
ROWS: Final = 4096
"""Rows handled at once: 50 MB of float32 at a width of 3,072."""
TOP: Final = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
BLOCK: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SETTINGS: Final = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
TOKENS: Final = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "padding_token_id": "pad_token_id",
}


class ConvertError(Exception):
    """The file is not one that this converter understands."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the GGUF file: its name in the checkpoint, shape (rows, columns) and stored rows."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[Any]
    kind: Any

    @property
    def dtype(self) -> str:
        """The checkpoint's type for it, in safetensors' words."""
        if len(self.shape) == 1:
            return "F32"
        return "I8" if self.name.endswith("_proj.weight") else "BF16"

    def rows(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first row, rows as float32), a group at a time."""
        from gguf.quants import dequantize

        for start in range(0, self.shape[0], ROWS):
            yield start, dequantize(self.data[start : start + ROWS], self.kind).astype(np.float32, copy=False)


def read(source: Path) -> tuple[dict[str, Any], list[Tensor]]:
    """Return the GGUF file's settings, in the words of a checkpoint's config.json, and its tensors, memory-mapped."""
    from gguf import GGUFReader

    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    if architecture not in ARCHITECTURES:
        raise ConvertError(f"architecture {architecture} is not supported")
    settings = {
        theirs: reader.fields[f"{architecture}.{ours}"].contents() for ours, theirs in SETTINGS.items()
    }
    settings |= {
        theirs: reader.fields[f"tokenizer.ggml.{ours}"].contents() for ours, theirs in TOKENS.items()
    }
    settings |= {
        "model_type": architecture,
        "rope_parameters": {
            "rope_theta": reader.fields[f"{architecture}.rope.freq_base"].contents(),
            "rope_type": "default",
        },
        "tie_word_embeddings": all(stored.name != "output.weight" for stored in reader.tensors),
        "vocab_size": next(int(t.shape[1]) for t in reader.tensors if t.name == "token_embd.weight"),
    }
    tensors = []
    for stored in reader.tensors:
        data = stored.data
        if architecture == "llama" and re.search(r"attn_[qk]\.", stored.name):
            heads = settings["num_attention_heads" if "attn_q" in stored.name else "num_key_value_heads"]
            data = data[_rope_order(len(data), heads)]
        shape = tuple(int(size) for size in reversed(stored.shape))
        tensors.append(Tensor(_name(stored.name), shape, data, stored.tensor_type))
    return settings, sorted(tensors, key=lambda tensor: tensor.name)


def _name(gguf: str) -> str:
    """`blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight` in the checkpoint."""
    match = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)", gguf)
    if match is None or match[2] not in (BLOCK if match[1] else TOP):
        raise ConvertError(f"tensor {gguf} is not known")
    return (
        f"model.layers.{match[1]}.{BLOCK[match[2]]}.{match[3]}" if match[1] else f"{TOP[match[2]]}.{match[3]}"
    )


def _rope_order(rows: int, heads: int) -> NDArray[np.intp]:
    """Undo the row order that llama.cpp gives Q and K of Llama models (interleaved rotary halves)."""
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(rows)
