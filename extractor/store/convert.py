"""Turn a GGUF file into the int8 checkpoint that vLLM loads: `python -m extractor.store.convert SRC DST`.

Linear layers become W8A8 int8 in the compressed-tensors format: symmetric, one float32 scale an output channel
(absolute maximum / 127), activations scaled per token at run time. On a CPU without bf16 arithmetic that is
nine times as fast as bf16 and needs half the memory of float32. Embeddings and output head are bf16; norms
and biases stay float32, which they are in the GGUF file.

Rows are dequantised and quantised in small groups straight into the file, so memory stays far below the model's
size. Only elementwise float32 arithmetic of numpy is used, so the bytes are the same on every machine.
"""

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from extractor.store import cache
from extractor.store.manifest import CONVERTER, PRECISION
from extractor.store.progress import Advance, ignore

ARCHITECTURES: Final = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
ROWS: Final = 4096
"""Rows handled at once: 50 MB of float32 at a width of 3,072."""
WIDTH: Final = {"F32": 4, "BF16": 2, "I8": 1}

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
QUANTIZATION: Final = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "channel",
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
    "ignore": ["lm_head"],
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


def write(tensors: list[Tensor], path: Path, advance: Advance) -> None:
    """Write a safetensors file: 8 bytes of header length, a JSON header, then the tensors' bytes in its order.

    Format: https://huggingface.co/docs/safetensors, section "Format". Wider types come first, so that every
    tensor is aligned.
    """
    header, at = _layout(tensors)
    with path.open("wb") as out:
        out.write(len(header).to_bytes(8, "little") + header)
        for tensor in tensors:
            for start, rows in tensor.rows():
                for name, values in _encode(tensor, rows):
                    out.seek(at[name] + start * values[0].nbytes)
                    advance(out.write(values.tobytes()))


def _encode(tensor: Tensor, rows: NDArray[np.float32]) -> list[tuple[str, NDArray[Any]]]:
    """Return what the checkpoint holds for some rows of `tensor`, by name."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if tensor.dtype == "F32":
        return [(tensor.name, rows)]
    if tensor.dtype == "BF16":
        return [(tensor.name, quantize(rows, GGMLQuantizationType.BF16))]
    scale = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.float32(1e-8)) / np.float32(127)
    return [(tensor.name, np.rint(rows / scale).astype(np.int8)), (f"{tensor.name}_scale", scale)]


def _layout(tensors: list[Tensor]) -> tuple[bytes, dict[str, int]]:
    """Return the header and each tensor's place in the file. Both follow from names and shapes alone."""
    plan = [(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]
    plan += [(f"{name}_scale", "F32", (shape[0], 1)) for name, dtype, shape in plan if dtype == "I8"]
    plan.sort(key=lambda item: (-WIDTH[item[1]], item[0]))
    described: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, dtype, shape in plan:
        end = offset + WIDTH[dtype] * math.prod(shape)
        described[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    header = json.dumps(described, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return header, {name: 8 + len(header) + described[name]["data_offsets"][0] for name, _, _ in plan}


def write_settings(settings: dict[str, Any], source: Path, folder: Path) -> None:
    """Write configuration, tokenizer and chat template; transformers reads the last two from the GGUF file."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TQDM_DISABLE="1")
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    config = AutoConfig.for_model(**settings)
    config.update(
        {
            "architectures": [ARCHITECTURES[settings["model_type"]]],
            "dtype": "bfloat16",
            "quantization_config": QUANTIZATION,
        }
    )
    config.save_pretrained(folder)
    GenerationConfig.from_model_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


def write_provenance(source: Path, folder: Path) -> None:
    """Say what the checkpoint was made of and by what, and the hash of each of its files."""
    files = {
        file.name: {"size": file.stat().st_size, "sha256": cache.sha256(file)}
        for file in sorted(folder.iterdir())
    }
    provenance = {
        "gguf_sha256": cache.sha256(source),
        "converter": CONVERTER,
        "precision": PRECISION,
        "libraries": {name: version(name) for name in ("gguf", "numpy", "tokenizers", "transformers")},
        "files": files,
    }
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1, sort_keys=True) + "\n")


def convert(source: Path, target: Path, advance: Advance = ignore) -> None:
    """Write the checkpoint of `source` to the new folder `target`, which appears only when it is whole."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o755)
    settings, tensors = read(source)
    with ThreadPoolExecutor(1) as beside:
        others = beside.submit(write_settings, settings, source, partial)
        write(tensors, partial / "model.safetensors", advance)
        others.result()
    write_provenance(source, partial)
    cache.publish(partial, target)


def main(source: str, target: str) -> int:
    """Print the bytes written, one number a line, for the parent's progress; a reason on stderr on failure."""
    try:
        convert(Path(source), Path(target), lambda done: print(done, flush=True))
    except ImportError as error:
        print(f"the package {error.name} is missing; install extractor[cpu]", file=sys.stderr)
    except ConvertError as error:
        print(error, file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
