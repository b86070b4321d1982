"""Bits per character and loss, of batches and of lists of pieces."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from notagen.model import NotaGen, predicted
from notagen.patches import EOS, Patches


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


class Likelihood(NamedTuple):
    """What it takes a model to write some pieces; not a number where there are none.

    Attributes:
        loss: mean negative log-likelihood of a predicted id, in nats.
        bits_per_character: see :class:`notagen.metrics.bits.BitsPerCharacter`.
        characters: of all pieces.
    """

    loss: float
    bits_per_character: float
    characters: int


@torch.inference_mode()
def likelihood(model: NotaGen, pieces: Iterable[Patches]) -> Likelihood:
    """Read pieces [n_i, 16], one by one, with a model in evaluation mode, on its device.

    No other rank is asked: each may read pieces of its own.
    """
    nats = torch.zeros((), dtype=torch.float64)
    n_predicted, characters = torch.zeros(2, dtype=torch.int64)
    for piece in pieces:
        patches, lengths = model.pack([piece])
        nats += model(patches, lengths).sum(dtype=torch.float64).cpu()
        n_predicted += predicted(patches, lengths).sum().cpu()
        characters += (patches > EOS).sum().cpu()
    return Likelihood(
        loss=float(nats / n_predicted),
        bits_per_character=float(bits_per_character(nats, characters)),
        characters=int(characters),
    )
