"""A LoRA adapter as PEFT writes it (adapter_config.json, adapter_model.safetensors), merged into a model's weights.

Merged weights are W + lora_alpha / r * lora_B @ lora_A (Hu et al., LoRA, arXiv 2106.09685, section 4.1). The product
is summed in a fixed order by elementwise float32 arithmetic, without BLAS, so the bytes are the same on every machine.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from extractor.store.gguf_file import ConvertError, Tensor
from extractor.store.manifest import ADAPTER_WEIGHTS

BLOCK: Final = 64
"""Rows changed at once: few enough for the processor's cache. It does not show in the result."""
OTHER_FORMULAS: Final = ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern")
"""Settings of adapter_config.json under which the formula above is not PEFT's."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Adapted(Tensor):
    """A tensor of the model and its change: `b` (rows, rank), scale included, times `a` (rank, columns)."""

    a: Array
    b: Array

    def rows(self) -> Iterator[tuple[int, Array]]:
        """Yield (first row, merged rows as float32), a group at a time."""
        for start, stored in super().rows():
            rows = stored.copy()
            for at in range(0, len(rows), BLOCK):
                block = rows[at : at + BLOCK]
                b = self.b[start + at : start + at + len(block)]
                for k in range(len(self.a)):
                    block += b[:, k : k + 1] * self.a[k]
            yield start, rows


def merged(tensors: list[Tensor], folder: Path) -> list[Tensor]:
    """Return `tensors` with the adapter of `folder` added. Raises ConvertError naming what does not fit."""
    rank, scale = _settings(folder)
    left = _tensors(folder)
    result = [_adapted(tensor, left, rank, scale) for tensor in tensors]
    if left:
        raise ConvertError(f"adapter tensor {min(left)} fits no tensor of the model")
    return result


def _adapted(tensor: Tensor, left: dict[str, Array], rank: int, scale: np.float32) -> Tensor:
    """Return `tensor` with its change, which is taken out of `left`; itself if there is none."""
    module = f"base_model.model.{tensor.name.removesuffix('.weight')}"
    names = [f"{module}.lora_{letter}.weight" for letter in "AB"]
    if not tensor.name.endswith(".weight") or not any(name in left for name in names):
        return tensor
    rows, columns = tensor.shape if len(tensor.shape) == 2 else (0, 0)
    for name, shape in zip(names, [(rank, columns), (rows, rank)], strict=True):
        if name not in left:
            raise ConvertError(f"adapter tensor {name} is missing")
        if left[name].shape != shape:
            raise ConvertError(
                f"adapter tensor {name} has the shape {left[name].shape}, needed is {shape} (rank {rank})"
            )
    a, b = (left.pop(name) for name in names)
    return Adapted(tensor.name, tensor.shape, tensor.data, tensor.kind, a, scale * b)


def _settings(folder: Path) -> tuple[int, np.float32]:
    """Return rank and scale."""
    try:
        config = json.loads((folder / "adapter_config.json").read_bytes())
        rank, alpha = config["r"], config["lora_alpha"]
        scale = np.float32(alpha / rank)
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise ConvertError(f"adapter_config.json cannot be used: {type(error).__name__}") from None
    if config.get("peft_type") != "LORA":
        raise ConvertError("adapter_config.json: peft_type is not LORA")
    for name in OTHER_FORMULAS:
        if config.get(name):
            raise ConvertError(f"adapter_config.json: {name} is not supported")
    return rank, scale


def _tensors(folder: Path) -> dict[str, Array]:
    """Return the adapter's tensors as float32, whichever float type they are stored in."""
    from safetensors import SafetensorError, deserialize

    try:
        stored = deserialize((folder / ADAPTER_WEIGHTS).read_bytes())  # type: ignore[no-untyped-call]
    except (OSError, SafetensorError) as error:
        raise ConvertError(f"{ADAPTER_WEIGHTS} cannot be read: {type(error).__name__}") from None
    return {name: _float32(name, tensor) for name, tensor in stored}


def _float32(name: str, tensor: dict[str, Any]) -> Array:
    flat = tensor["data"]
    match tensor["dtype"]:
        case "F32":
            values = np.frombuffer(flat, "<f4")
        case "F16":
            values = np.frombuffer(flat, "<f2").astype(np.float32)
        case "BF16":  # the upper half of a float32
            values = (np.frombuffer(flat, "<u2").astype(np.uint32) << 16).view(np.float32)
        case other:
            raise ConvertError(f"adapter tensor {name} is {other}, not a float type that is supported")
    return values.reshape(tensor["shape"])
