"""Adapters as PEFT writes them, so that PEFT, vLLM and `extractor.store.convert` load them."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from extractor.store.manifest import ADAPTER_WEIGHTS

CONFIG = "adapter_config.json"
_START = "base_model.model.model."


def save(parameters: dict[str, torch.Tensor], rank: int, alpha: float, base: str, folder: Path) -> None:
    """Write a LoRA to `folder`, in bfloat16. `parameters` go by `layers.N.self_attn.q_proj.lora_A` and the like."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {
            f"{_START}{name}.weight": value.detach().to(torch.bfloat16).contiguous()
            for name, value in parameters.items()
        },
        folder / ADAPTER_WEIGHTS,
        metadata={"format": "pt"},
    )
    config: dict[str, Any] = {
        "base_model_name_or_path": base,
        "bias": "none",
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": sorted({name.split(".")[-2] for name in parameters}),
        "task_type": "CAUSAL_LM",
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def resume(model: nn.Module, folder: Path) -> None:
    """Give the parameters of `model` the values that `save` wrote.

    Raises:
        ValueError: the adapter has another rank or other layers.
    """
    stored = {
        name.removeprefix(_START).removesuffix(".weight"): value.float()
        for name, value in load_file(folder / ADAPTER_WEIGHTS).items()
    }
    own = {name: value.shape for name, value in model.named_parameters() if value.requires_grad}
    if own != {name: value.shape for name, value in stored.items()}:
        raise ValueError(
            f"{folder} holds an adapter of another rank or other layers: give its --rank and --first"
        )
    model.load_state_dict(stored, strict=False)


def mean(first: Path, second: Path, out: Path) -> None:
    """Write the mean of two adapters of one lineage to `out`: what a run that went on from another's end taught, at half
    strength. It often keeps what the first knew and reads unlike texts better (Wortsman et al. 2022, arXiv 2109.01903,
    section 3; here the factors of the LoRA are averaged, not their products).

    Raises:
        ValueError: they differ in rank, layers or base.
    """
    one, other = (load_file(folder / ADAPTER_WEIGHTS) for folder in (first, second))
    shapes = [{name: value.shape for name, value in weights.items()} for weights in (one, other)]
    configs = [json.loads((folder / CONFIG).read_text("utf-8")) for folder in (first, second)]
    if shapes[0] != shapes[1] or configs[0] != configs[1]:
        raise ValueError(f"{first} and {second} differ in rank, layers or base: name two of one lineage")
    out.mkdir(parents=True, exist_ok=True)
    both = {name: ((one[name].float() + other[name].float()) / 2).to(one[name].dtype) for name in one}
    save_file(both, out / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(first / CONFIG, out / CONFIG)
