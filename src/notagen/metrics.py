"""What is measured here beyond a loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from notagen.patches import EOS


def bits_per_character(nats: Tensor, characters: Tensor) -> Tensor:
    """Bits to write down a text, per character of it; see :class:`BitsPerCharacter`."""
    return (nats / characters / math.log(2)).float()


class BitsPerCharacter(Metric):
    """Bits to write down a text, per character of it.

    Everything a model must say to write the text counts, the ends of patches and of the piece
    included; what is divided by is the characters of the text alone. So the number can be
    compared with that of any other model of the same text.
    """

    higher_is_better = False
    full_state_update = False
    nats: Tensor
    characters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("characters", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, patches: Tensor) -> None:
        """Add patches [n, 16] and the negative log-likelihood in nats of each of their ids."""
        self.nats += nll.detach().sum(dtype=torch.float64)
        self.characters += (patches > EOS).sum()

    def compute(self) -> Tensor:
        """A scalar, in bits."""
        return bits_per_character(self.nats, self.characters)
