"""How well weights know pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from notagen.metrics import bits_per_character
from notagen.model import NotaGen, predicted
from notagen.patches import EOS, Patches


class Likelihood(NamedTuple):
    """What it takes a model to write some pieces; not a number where there are none.

    Attributes:
        loss: mean negative log-likelihood of a predicted id, in nats.
        bits_per_character: see :class:`notagen.metrics.BitsPerCharacter`.
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
    said, characters = torch.zeros(2, dtype=torch.int64)
    for piece in pieces:
        patches, lengths = model.pack([piece])
        nats += model(patches, lengths).sum(dtype=torch.float64).cpu()
        said += predicted(patches, lengths).sum().cpu()
        characters += (patches > EOS).sum().cpu()
    return Likelihood(
        loss=float(nats / said),
        bits_per_character=float(bits_per_character(nats, characters)),
        characters=int(characters),
    )
