"""BitsPerCharacter and MeanLoss: the metrics of validation and test, reduced over ranks.

Shapes: T = packed patches, S = 16 characters of a patch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from notagen.metrics.bits import bits_per_character
from notagen.patches import EOS


class BitsPerCharacter(Metric):
    """Negative log-likelihood of a text in bits, per character.

    All predicted ids count in the sum, including the ends of patches and of the piece, but it is
    divided by the number of characters of the text alone. So the metric can be compared between
    any models of the same text.
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
        """Add patches [T, S] and the negative log-likelihood of each of their ids, in nats."""
        self.nats += nll.detach().sum(dtype=torch.float64)
        self.characters += (patches > EOS).sum()  # PAD, BOS and EOS are the ids 0, 1 and 2

    def compute(self) -> Tensor:
        """Bits per character so far, a scalar."""
        return bits_per_character(self.nats, self.characters)


class MeanLoss(Metric):
    """Mean negative log-likelihood of a predicted id, in nats, over batches and ranks."""

    higher_is_better = False
    full_state_update = False
    nats: Tensor
    n_predicted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_predicted", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, n_predicted: Tensor) -> None:
        """Add the negative log-likelihood of ids, in nats, and how many count."""
        self.nats += nll.detach().sum(dtype=torch.float64)
        self.n_predicted += n_predicted

    def compute(self) -> Tensor:
        """The mean so far, a scalar."""
        return (self.nats / self.n_predicted).float()
