"""The int8 checkpoint that vLLM serves, with a trainable LoRA beside each of its linear layers.

Low-rank adaptation: Hu et al., arXiv 2106.09685, section 4.1. The frozen weights stay int8 in training, forward and
backward: SwitchBack of Wortsman et al., arXiv 2304.13013, section 2.2.1, quantises the same two products. What is trained is
thus what is served, and a CPU without bf16 arithmetic multiplies int8 three to four times as fast as float32.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM


@torch.compile(dynamic=True)
def quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of x as int8 and their scales: one fused pass, where plain operations need seven."""
    scale = (x.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-30)
    return (x / scale).round().to(torch.int8), scale


@torch.compile(dynamic=True)
def scaled(product: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    return product * rows * columns


@torch.compile(dynamic=True)
def quantised_scaled(x: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """`quantised(x * columns)`, fused as well."""
    x = x * columns
    scale = (x.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-30)
    return (x / scale).round().to(torch.int8), scale


class Frozen(torch.autograd.Function):
    """`x @ weight.T` for an int8 weight [m, k] with one scale an output channel ([m]); no gradient for the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        x, rows = quantised(x)
        return scaled(torch._int_mm(x, weight.t()), rows, scale)  # noqa: SLF001  the only int8 product

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        weight, scale = ctx.saved_tensors
        grad, rows = quantised_scaled(grads[0], scale)
        return torch._int_mm(grad, weight) * rows, None, None  # noqa: SLF001


class Adapted(nn.Module):
    """A frozen int8 linear layer plus `alpha / rank * B A`, with B zero at the start; at rank 0 the layer alone."""

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, rank: int, alpha: float) -> None:
        super().__init__()
        out, width = weight.shape
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale.reshape(-1))
        self.register_buffer("bias", bias)
        self.rank = rank
        if rank:
            self.lora_A = nn.Parameter(torch.empty(rank, width))
            self.lora_B = nn.Parameter(torch.zeros(out, rank))
            nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)
            self.factor = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        y = Frozen.apply(rows, self.weight, self.scale)
        if self.rank:
            y = torch.addmm(y, rows @ self.lora_A.t(), self.lora_B.t(), alpha=self.factor)
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(*x.shape[:-1], -1)


def load(folder: Path, rank: int, alpha: float, first: int = 0) -> Any:
    """Load a checkpoint of the model store as a transformers model whose only parameters are the adapter's.

    `rank` and `alpha` are LoRA's; layers before `first` get none, and backward ends there. The output head is left
    out: `logits` scores the few tokens that matter.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    del config.quantization_config
    config.dtype = torch.float32
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").model
    stored = {
        name.removeprefix("model."): value for name, value in load_file(folder / "model.safetensors").items()
    }
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear):
            weight, scale = stored.pop(f"{name}.weight"), stored.pop(f"{name}.weight_scale")
            own = rank if int(name.split(".")[1]) >= first else 0
            model.set_submodule(name, Adapted(weight, scale, stored.pop(f"{name}.bias", None), own, alpha))
    stored.pop("lm_head.weight", None)
    kept = model.load_state_dict(stored, strict=False, assign=True)
    if kept.unexpected_keys:
        raise ValueError(
            f"{folder.name} holds tensors that its architecture does not: {kept.unexpected_keys[:3]}"
        )
    model.rotary_emb = type(model.rotary_emb)(config=config)
    for name, value in model.named_parameters():
        value.requires_grad_("lora_" in name)
    return model


def logits(model: Any, hidden: Tensor, tokens: Tensor) -> Tensor:
    """Score each of `tokens` ([k]) after each row of `hidden` ([n, width]): the tied output head's rows alone."""
    return hidden @ model.embed_tokens.weight[tokens].float().t()
