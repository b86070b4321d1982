"""Bits per character and loss of lists of pieces.

Shapes: T = packed patches, S = 16 characters of a patch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from notagen.model import NotaGen, predicted
from notagen.patches import EOS, Patches


def bits_per_character(nats: Tensor, characters: Tensor) -> Tensor:
    """A negative log-likelihood in nats as bits, per character of the text."""
    return (nats / characters / math.log(2)).float()


class Likelihood(NamedTuple):
    """Loss and bits per character of a list of pieces; NaN if it is empty.

    Attributes:
        loss: mean negative log-likelihood of a predicted id, in nats.
        bits_per_character: see :func:`bits_per_character`.
        characters: number of characters of all pieces.
    """

    loss: float
    bits_per_character: float
    characters: int


@torch.inference_mode()
def likelihood(model: NotaGen, pieces: Iterable[Patches]) -> Likelihood:
    """Loss and bits per character of pieces [n, S], computed one by one on the model's device.

    The model is in eval mode. Nothing is reduced over ranks: each may have pieces of its own.
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
