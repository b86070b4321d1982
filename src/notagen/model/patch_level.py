"""The patch level (arXiv 2502.18008, section 3): GPT-2 over one vector per patch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from notagen.model.attention import PackedAttention
from notagen.model.blocks import Blocks
from notagen.model.config import ModelConfig
from notagen.model.dropout import dropout
from notagen.patches import PATCH_SIZE, VOCABULARY


class PatchEmbedding(nn.Module):
    """A vector per patch: the sum of one table row per (slot, character), plus a bias.

    The same function as the published one-hot [16·128] times a matrix. Padding counts like
    any other character, as it does there.
    """

    slots: Tensor

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(PATCH_SIZE * VOCABULARY, hidden))
        self.bias = nn.Parameter(torch.zeros(hidden))
        nn.init.normal_(self.weight, std=0.02)
        self.register_buffer("slots", torch.arange(PATCH_SIZE) * VOCABULARY, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Integer [patches, 16] -> [patches, hidden]."""
        return F.embedding_bag(patches + self.slots, self.weight, mode="sum") + self.bias


class PatchDecoder(nn.Module):
    """The patch level: what has been heard so far, one vector per patch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = PatchEmbedding(config.hidden_size)
        # Present in every published file and used by nothing; kept for lossless round trips.
        self.wte = nn.Embedding(1, config.hidden_size).requires_grad_(False)
        self.wpe = nn.Embedding(config.patch_length, config.hidden_size)
        self.h = Blocks(config.patch_layers, config.hidden_size)
        self.ln_f = nn.LayerNorm(config.hidden_size)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.02)

    def forward(self, patches: Tensor, lengths: Sequence[int]) -> Tensor:
        """Pieces of `lengths` patches, packed: integer [patches, 16] -> [patches, hidden]."""
        positions = torch.cat([torch.arange(n, device=patches.device) for n in lengths])
        drop = self.config.dropout if self.training else 0.0
        x = dropout(self.patch_embedding(patches) + self.wpe(positions), drop)
        attend = PackedAttention(lengths, drop, x.device)
        keep = not (self.config.checkpointing and torch.is_grad_enabled())
        for block in self.h:
            if keep:
                x = block(x, attend, drop)
            else:
                x = checkpoint(block, x, attend, drop, use_reentrant=False)
        hidden: Tensor = self.ln_f(x)
        return hidden
