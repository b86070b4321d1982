"""LoRA: low-rank adapters beside frozen weights, for one small GPU."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners import lora
from torch import Tensor, nn

from notagen.model.config import LoRAConfig


def adapt(model: nn.Module, config: LoRAConfig) -> None:
    """Freeze a model's weights and put adapters beside them, in place.

    They start as zero: the model answers as before. Embeddings and norms have none.
    """
    blocks = rf"({'|'.join(config.levels)})_decoder\.h\..*\.(c_attn|c_proj|c_fc)"
    peft = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=blocks)
    peft._register_custom_module({nn.Linear: _Adapted})
    inject_adapter_in_model(peft, model)


class _Adapted(lora.Linear):  # type: ignore[misc]
    """As peft's, but ``weight`` is the sum: blocks compute with weights and not with layers."""

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.get_base_layer().weight
        for name in self.active_adapters:
            weight = weight + self.get_delta_weight(name)
        return weight


def merge(model: nn.Module) -> None:
    """Add what adapters have learnt to the weights and remove them, in place."""
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
