"""LoRA (arXiv 2106.09685): low-rank adapters beside frozen weights, by peft."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners import lora
from torch import Tensor, nn

from notagen.model.config import LoRAConfig


def adapt(model: nn.Module, config: LoRAConfig) -> None:
    """Freeze a model's weights and put adapters beside them, in place.

    An adapter's second matrix starts as zero, so the model computes the same as before. Embeddings
    and norms have no adapters.
    """
    # For example patch_decoder.h.3.attn.c_attn.
    blocks = rf"({'|'.join(config.levels)})_decoder\.h\..*\.(c_attn|c_proj|c_fc)"
    peft = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=blocks)
    # Experimental in peft 0.21, and the documented way to an adapter class of one's own.
    peft._register_custom_module({nn.Linear: _Adapted})
    inject_adapter_in_model(peft, model)


class _Adapted(lora.Linear):  # type: ignore[misc]
    """peft's layer with the sum as its ``weight``, since our blocks do not call their layers."""

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.get_base_layer().weight
        for name in self.active_adapters:
            weight = weight + self.get_delta_weight(name)
        return weight


def merge(model: nn.Module) -> None:
    """Add the adapters' updates to the weights and remove the adapters, in place."""
    for parent, name, layer in list(_adapted(model)):
        plain = layer.get_base_layer()
        with torch.no_grad():
            plain.weight.copy_(layer.weight)
        parent[name] = plain


def _adapted(model: nn.Module) -> Iterator[tuple[nn.ModuleDict, str, _Adapted]]:
    for parent in model.modules():
        if isinstance(parent, nn.ModuleDict):
            for name, layer in parent.items():
                if isinstance(layer, _Adapted):
                    yield parent, name, layer
