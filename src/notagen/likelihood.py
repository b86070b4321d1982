"""How well weights know pieces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from notagen.batch import pack
from notagen.metrics import BitsPerCharacter
from notagen.model import NotaGen, predicted
from notagen.patches import Patches


class Likelihood(NamedTuple):
    """What it takes a model to write some pieces.

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
    """Read pieces [n_i, 16], one by one, with a model in evaluation mode."""
    bits, said = BitsPerCharacter(), 0
    for piece in pieces:
        batch = pack([piece])
        bits.update(model(batch.patches, batch.lengths), batch.patches)
        said += int(predicted(batch.patches, batch.lengths.tolist()).sum())
    return Likelihood(float(bits.nats) / said, float(bits.compute()), int(bits.characters))
