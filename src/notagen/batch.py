"""What a training step receives: pieces laid end to end, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from notagen.patches import Patches


class Batch(NamedTuple):
    """Packed pieces.

    Attributes:
        patches: uint8 [sum of lengths, 16].
        lengths: int64 [pieces], patches of each piece; stays on the CPU side of the model, which
            cuts the packed rows by it.
    """

    patches: Tensor
    lengths: Tensor


class Pairs(NamedTuple):
    """Packed pairs of pieces: all chosen ones, then the rejected ones in the same order.

    Attributes:
        patches: uint8 [sum of lengths, 16].
        lengths: int64 [2 * pairs], patches of each piece.
        reference: float64 [2 * pairs], log-probability of each piece under the reference, in nats.
        prompts: what both pieces of each pair were asked to be, [pairs].
    """

    patches: Tensor
    lengths: Tensor
    reference: Tensor
    prompts: list[str]


def pack(pieces: Sequence[Patches]) -> Batch:
    """Lay pieces [n_i, 16] end to end."""
    return Batch(
        patches=torch.from_numpy(np.concatenate(pieces)),
        lengths=torch.tensor([len(piece) for piece in pieces]),
    )
