"""What a bar is beside those around it: order, heard early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence


class Neighbours(nn.Module):
    """Adds to the vector of each patch what a small network makes of it and those around it.

    Whether a bar goes on from the one before is told by two patches that stand as far apart as
    there are voices. Attention must learn where to look before it can learn what to look for; a
    small encoder that has only attention does not get there in minutes.

    Args:
        hidden_size: of the vectors.
        reach: patches looked at on each side.
    """

    def __init__(self, hidden_size: int, reach: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.mix = nn.Conv1d(hidden_size, 4 * hidden_size, 2 * reach + 1, padding=reach)
        self.out = nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, vectors: Tensor, lengths: Sequence[int]) -> Tensor:
        """[patches, hidden], twice; there is nothing beside a segment's first and last patch.

        Args:
            vectors: segments one after another.
            lengths: patches of each segment.
        """
        around = pad_sequence(self.norm(vectors).split(lengths), batch_first=True)
        mixed = self.mix(around.transpose(1, 2)).transpose(1, 2)
        packed = torch.cat([row[:length] for row, length in zip(mixed, lengths, strict=True)])
        return vectors + cast(Tensor, self.out(F.gelu(packed)))
