"""Turn a GGUF file into the int8 checkpoint that vLLM loads, with a LoRA adapter merged into it if one is given.

    python -m extractor.store.convert SOURCE.gguf NEW_FOLDER [ADAPTER_FOLDER]

Linear layers become W8A8 int8 in the compressed-tensors format: symmetric, one float32 scale an output channel
(absolute maximum / 127), activations scaled per token at run time. On a CPU without bf16 arithmetic that is
nine times as fast as bf16 and needs half the memory of float32. Embeddings and output head are bf16; norms
and biases stay float32, which they are in the GGUF file.

Rows are dequantised and quantised in small groups straight into the file, so memory stays far below the model's
size. Only elementwise float32 arithmetic of numpy is used, so the bytes are the same on every machine.
"""

import json
import math
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from extractor.store import cache
from extractor.store.adapter import merged
from extractor.store.gguf_file import ARCHITECTURES, ConvertError, Tensor, read
from extractor.store.manifest import ADAPTER_WEIGHTS, CONVERTER, PRECISION
from extractor.store.progress import Advance, ignore

WIDTH: Final = {"F32": 4, "BF16": 2, "I8": 1}

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
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    tokenizer.save_pretrained(folder)


def write_provenance(source: Path, adapter: Path | None, folder: Path) -> None:
    """Say what the checkpoint was made of and by what, and the hash of each of its files."""
    files = {
        file.name: {"size": file.stat().st_size, "sha256": cache.sha256(file)}
        for file in sorted(folder.iterdir())
    }
    provenance: dict[str, Any] = {
        "gguf_sha256": cache.sha256(source),
        "converter": CONVERTER,
        "precision": PRECISION,
        "libraries": {name: version(name) for name in ("gguf", "numpy", "tokenizers", "transformers")},
        "files": files,
    }
    if adapter:
        provenance["adapter"] = {
            "name": adapter.resolve().name,
            "sha256": cache.sha256(adapter / ADAPTER_WEIGHTS),
        }
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1, sort_keys=True) + "\n")


def convert(source: Path, target: Path, advance: Advance = ignore, *, adapter: Path | None = None) -> None:
    """Write the checkpoint of `source` to the new folder `target`, which appears only when it is whole.

    `adapter` is a folder as PEFT writes it. Raises ConvertError if either is not understood, or they do not fit.
    """
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o755)
    settings, tensors = read(source)
    if adapter:
        tensors = merged(tensors, adapter)
    with ThreadPoolExecutor(1) as beside:
        others = beside.submit(write_settings, settings, source, partial)
        write(tensors, partial / "model.safetensors", advance)
        others.result()
    write_provenance(source, adapter, partial)
    cache.publish(partial, target)


def main(source: str, target: str, adapter: str | None = None) -> int:
    """Print the bytes written, one number a line, for the parent's progress; a reason on stderr on failure."""
    try:
        convert(
            Path(source),
            Path(target),
            lambda done: print(done, flush=True),
            adapter=Path(adapter) if adapter else None,
        )
    except ImportError as error:
        print(
            f"the package {error.name} is missing; in a copy of the repository: make setup", file=sys.stderr
        )
    except ConvertError as error:
        print(error, file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
