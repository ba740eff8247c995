"""Low-rank adapters (LoRA, arXiv 2106.09685): added to a model, switched off, merged into its matrices.

    model = load_model(folder)
    add_adapters(model, LoraConfig(rank=8))            # freezes the decoder; the new matrices are trained
    with adapters_off(model):                          # the model as it was: DPO's and PPO's reference
        ...
    save_model(folder, model)                          # merged: a model without adapters that computes the same

An adapted matrix keeps its name and gets two more: `q_proj.weight`, `q_proj.lora_A` [rank, in], `q_proj.lora_B`
[out, rank]. B begins at zero, so that training begins with the model as it was. `adapter_files.py` exchanges adapters
with PEFT.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.model.decoder import Attention, CustomLanguageModel, Decoder
from groundup.model.linear import Linear
from groundup.model.lora_config import LoraConfig


class LoraLinear(Linear):
    """A frozen linear module and its adapter."""

    lora_A: nn.Parameter
    lora_B: nn.Parameter

    def __init__(self, base: Linear, rank: int, scale: float, dropout: float = 0.0) -> None:
        """Takes over the weights of `base` (shared, not copied). A is empty and B zero.

        Args:
            scale: of the adapter's output, alpha / rank.
            dropout: probability with which an input of A is set to zero in training.
        """
        nn.Module.__init__(self)
        self.in_features, self.out_features = base.in_features, base.out_features
        base.requires_grad_(False)
        self.weight = base.weight
        self.register_parameter("bias", base.bias)
        device = base.weight.device
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, device=device))
        self.rank, self.scale, self.enabled = rank, scale, True
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., in]; returns [..., out]."""
        y = super().forward(x)
        if not self.enabled:
            return y
        return y + self.scale * F.linear(F.linear(self.dropout(x), self.lora_A), self.lora_B)

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The matrix [out, in] of a linear module without adapter that computes the same."""
        return self.weight + self.scale * (self.lora_B @ self.lora_A)


def add_adapters(model: nn.Module, config: LoraConfig, seed: int = 0) -> None:
    """Freeze a model's decoder and language head, and give each target matrix an adapter to be trained.

    Other heads (a reward model's, a critic's) are trained as before. A is drawn on the CPU from `seed`, as PEFT draws
    it (uniform, of variance 1 / (3 in)).

    Raises:
        GroundupError: no layer has any of the targets.
    """
    generator = torch.Generator().manual_seed(seed)
    adapted = 0
    for part in [module for module in model.modules() if isinstance(module, Decoder | CustomLanguageModel)]:
        part.requires_grad_(False)
    for decoder in [module for module in model.modules() if isinstance(module, Decoder)]:
        if config.dropout:
            _without_dropout(decoder)
        for parent, name, linear in list(_linears(decoder)):
            if name in config.targets:
                adapter = LoraLinear(linear, config.rank, config.alpha / config.rank, config.dropout)
                with torch.no_grad():
                    drawn = torch.empty(adapter.lora_A.shape)
                    adapter.lora_A.copy_(nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator))
                setattr(parent, name, adapter)
                adapted += 1
    if not adapted:
        raise GroundupError(
            f"no layer has {' or '.join(config.targets)} as a plain matrix",
            where="lora.targets",
            do="choose other targets, and no fp8",
        )


@contextmanager
def adapters_off(model: nn.Module) -> Iterator[None]:
    """Within it the model computes as it did before the adapters were added."""
    adapters = [module for module in model.modules() if isinstance(module, LoraLinear)]
    for adapter in adapters:
        adapter.enabled = False
    try:
        yield
    finally:
        for adapter in adapters:
            adapter.enabled = True


def adapters_of(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapted modules of a model by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


def _linears(decoder: Decoder) -> Iterator[tuple[nn.Module, str, Linear]]:
    for parent in decoder.layers.modules():
        for name, module in parent.named_children():
            if isinstance(module, Linear) and not isinstance(module, LoraLinear):
                yield parent, name, module


def _without_dropout(decoder: Decoder) -> None:
    for module in decoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, Attention):
            module.dropout = 0.0
