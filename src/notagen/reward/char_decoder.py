"""The char decoder of M3: the characters of a bar patch from the encoder's vector of it."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model

from notagen.bar_patches import BAR_PATCH_SIZE
from notagen.patches import PAD, VOCABULARY

_HEAD_SIZE: Final = 64
_GROUPS: Final = 4  # of patches of about the same length, each padded to its longest


class CharDecoder(nn.Module):
    """GPT-2 over the characters of one patch, which the patch's vector precedes.

    Args:
        layers: GPT-2 blocks.
        hidden_size: their width, a multiple of 64.
        encoder_size: width of the vectors.
    """

    def __init__(self, layers: int, hidden_size: int, encoder_size: int) -> None:
        super().__init__()
        self.start = nn.Linear(encoder_size, hidden_size)
        sizes = GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=BAR_PATCH_SIZE,
            n_embd=hidden_size,
            n_layer=layers,
            n_head=hidden_size // _HEAD_SIZE,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.gpt2 = GPT2Model(sizes)

    def forward(self, vectors: Tensor, patches: Tensor) -> Tensor:
        """Negative log-likelihood of every character after the first, which is always ``BOS``.

        Args:
            vectors: float [patches, encoder].
            patches: integer [patches, 64], the characters to restore.

        Returns:
            [patches, 63] in nats; zero for padding. Patches are run in groups of like length.
        """
        characters = patches[:, 1:].long()
        if not len(patches):  # every weight has a gradient all the same: DDP waits for each
            return characters * sum(weight.sum() for weight in self.parameters())
        lengths = (characters != PAD).sum(1)
        order = lengths.argsort()
        nll = vectors.new_zeros(characters.shape)
        for group in order.tensor_split(_GROUPS):
            if len(group):
                longest = int(lengths[group[-1]])
                nll[group, :longest] = self._nll(vectors[group], characters[group, :longest])
        return nll

    def _nll(self, vectors: Tensor, characters: Tensor) -> Tensor:
        told = self.gpt2.wte(characters[:, :-1])
        inputs = torch.cat([self.start(vectors)[:, None], told], dim=1)
        hidden = self.gpt2(inputs_embeds=inputs, use_cache=False).last_hidden_state
        scores = hidden @ self.gpt2.wte.weight.T
        return F.cross_entropy(
            scores.flatten(0, 1), characters.flatten(), ignore_index=PAD, reduction="none"
        ).view(characters.shape)
