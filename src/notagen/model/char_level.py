"""The char level (arXiv 2502.18008, section 3): GPT-2 over the characters of one patch.

Its first input is the patch level's vector, its others the characters so far; it predicts the
16 characters of the next patch. Only true characters are computed, never padding: patches are
sorted by length, so linear layers see one packed run of tokens and attention one dense block
per length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from notagen.model.attention import PackedAttention
from notagen.model.blocks import Blocks
from notagen.model.config import ModelConfig
from notagen.model.dropout import dropout
from notagen.patches import PAD, PATCH_SIZE, VOCABULARY


class CharDecoder(nn.Module):
    """Characters given the vector of the patch before; the embedding is also the output head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(VOCABULARY, config.hidden_size)
        # One position more than is ever used, as in the published files.
        self.wpe = nn.Embedding(PATCH_SIZE + 1, config.hidden_size)
        self.h = Blocks(config.char_layers, config.hidden_size)
        self.ln_f = nn.LayerNorm(config.hidden_size)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.02)

    def forward(self, vectors: Tensor, patches: Tensor) -> Tensor:
        """Negative log-likelihood of every character.

        Args:
            vectors: [patches, hidden], the patch level's output at the patch before each.
            patches: long [patches, 16], the patches to predict, padding only at their ends.

        Returns:
            [patches, 16] in nats, zero where there is padding.
        """
        lengths, order = (patches != PAD).sum(1).sort()
        slots = torch.arange(PATCH_SIZE, device=patches.device)
        true = slots < lengths[:, None]
        distinct, index = self._embed(vectors[order], patches[order], true)
        x = self._blocks(distinct, index, lengths.tolist())
        logits = F.linear(x, self.wte.weight)
        nll = F.cross_entropy(logits, patches[order][true], reduction="none")
        places = (order[:, None] * PATCH_SIZE + slots)[true]
        return nll.new_zeros(patches.numel()).scatter(0, places, nll).view_as(patches)

    def _embed(self, vectors: Tensor, patches: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct inputs [d, hidden], and for each true character which of them it has [t].

        There are far fewer (character, position) pairs than characters.
        """
        positions = torch.arange(1, PATCH_SIZE, device=patches.device)
        pairs = (positions * VOCABULARY + patches[:, :-1])[true[:, 1:]]
        distinct, pair_index = torch.unique(pairs, return_inverse=True)
        characters = self.wte(distinct % VOCABULARY) + self.wpe(distinct // VOCABULARY)
        count = len(vectors)
        index = patches.new_empty(patches.shape)
        index[:, 0] = torch.arange(count, device=patches.device)
        index[:, 1:][true[:, 1:]] = count + pair_index
        return torch.cat([vectors + self.wpe.weight[0], characters]), index[true]

    def _blocks(self, distinct: Tensor, index: Tensor, lengths: list[int]) -> Tensor:
        """Run the blocks: [d, hidden] and [t] -> [t, hidden].

        What the first block computes before attention depends on the input alone, so it is
        computed once for each distinct input and then looked up. The dropout of the inputs is
        drawn as seldom, so the same input loses the same elements in all patches. Within a patch
        no two inputs are alike: the loss of each patch is distributed as if its dropout were its
        own, and the expected gradient is the same.
        """
        drop = self.config.dropout if self.training else 0.0
        attend = PackedAttention(lengths, drop, distinct.device)
        first, *others = self.h
        weights = first.weights()
        distinct = dropout(distinct, drop)
        x, qkv = (F.embedding(index, table) for table in (distinct, weights.project(distinct)))
        x = weights.finish(x, attend(qkv), drop)
        for block in others:
            x = block(x, attend, drop)
        hidden: Tensor = self.ln_f(x)
        return hidden
