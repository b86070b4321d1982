"""Patch embedding: one vector per patch, of 16 characters or of the 64 of a bar patch.

Shapes: T = patches, S = characters of a patch, V = 128 character ids, D = hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from notagen.patches import PATCH_SIZE, VOCABULARY


class PatchEmbedding(nn.Module):
    """Sum of one table row per (slot, character), plus a bias: [T, S] -> [T, D].

    It equals the published one-hot vector of S·V entries times a matrix. Padding counts like any
    other character, as it does there.

    Args:
        hidden_size: D.
        patch_size: S.
    """

    def __init__(self, hidden_size: int, patch_size: int = PATCH_SIZE) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(patch_size * VOCABULARY, hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, patches_TS: Tensor) -> Tensor:
        """Embed integer patches: [T, S] -> [T, D]."""
        return patch_embedding(self.weight, patches_TS) + self.bias


def patch_embedding(table: Tensor, patches_TS: Tensor) -> Tensor:
    """Sum the rows of a table [S·V, D] that integer patches choose: [T, S] -> [T, D].

    Row ``slot * V + id`` belongs to character ``id`` in that slot of a patch.
    """
    slots_S = torch.arange(0, len(table), VOCABULARY, device=table.device)
    return F.embedding_bag(patches_TS.to(slots_S) + slots_S, table, mode="sum")
