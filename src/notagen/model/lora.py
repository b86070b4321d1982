"""LoRA: low-rank adapters beside frozen weights, for one small GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners import lora
from torch import Tensor, nn

from notagen.model.notagen import NotaGen

Level = Literal["patch", "char"]


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters on the four linear layers of every block (Hu et al., arXiv 2106.09685).

    Args:
        rank: of the update of each matrix.
        alpha: the update is scaled by ``alpha / rank``.
        levels: which levels are adapted, ``patch``, ``char`` or both.
    """

    rank: int
    alpha: float
    levels: tuple[Level, ...] = ("patch", "char")

    def adapt(self, model: NotaGen) -> None:
        """Freeze a model's weights and put adapters beside them, in place.

        They start as zero: the model answers as before. Embeddings and norms have none.
        """
        blocks = rf"({'|'.join(self.levels)})_decoder\.h\..*\.(c_attn|c_proj|c_fc)"
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, target_modules=blocks)
        config._register_custom_module({nn.Linear: _Adapted})
        inject_adapter_in_model(config, model)
        model.lora = self


class _Adapted(lora.Linear):  # type: ignore[misc]
    """As peft's, but ``weight`` is the sum: blocks compute with weights and not with layers."""

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.get_base_layer().weight
        for name in self.active_adapters:
            weight = weight + self.get_delta_weight(name)
        return weight


def merge(model: NotaGen) -> None:
    """Add what adapters have learnt to the weights and remove them, in place."""
    for parent, name, layer in list(_adapted(model)):
        plain = layer.get_base_layer()
        with torch.no_grad():
            plain.weight.copy_(layer.weight)
        parent[name] = plain
    model.lora = None


def _adapted(model: NotaGen) -> Iterator[tuple[nn.ModuleDict, str, _Adapted]]:
    for parent in model.modules():
        if isinstance(parent, nn.ModuleDict):
            for name, layer in parent.items():
                if isinstance(layer, _Adapted):
                    yield parent, name, layer
