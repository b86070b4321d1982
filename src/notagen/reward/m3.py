"""M3: a music encoder trained to restore hidden bars and to find misplaced ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model

from notagen.patches import EOS, PAD, VOCABULARY
from notagen.reward.bar_patches import BAR_PATCH_SIZE, Task
from notagen.reward.encoder import EncoderConfig, MusicEncoder

_CHOSEN: Final = 0.45  # of the patches are to be restored;
_BLANKED: Final = 0.8  # of these, so many are blanked,
_SHUFFLED: Final = 0.1  # so many have their characters shuffled, and the rest stay as they are

_HEAD_SIZE: Final = 64
_LENGTH_GROUPS: Final = 4  # of patches of about the same length, each padded to its longest


class Masked(NamedTuple):
    """Patches [patches, 64] with some made unreadable, and which are to be restored [patches]."""

    patches: Tensor
    chosen: Tensor


class M3Output(NamedTuple):
    """How well some of the hidden patches were restored, and what was said of those shown.

    Attributes:
        nll: of the characters of the restored patches, in nats, [restored, 63].
        patches: the restored patches, [restored, 64].
        misplaced_logits: log-odds that a patch is out of place, [proofread].
        misplaced_labels: whether it is, bool [proofread].
    """

    nll: Tensor
    patches: Tensor
    misplaced_logits: Tensor
    misplaced_labels: Tensor


class M3(nn.Module):
    """A music encoder and what trains it.

    Args:
        layers, hidden_size, feature_size, patch_length, dropout, conv_radius: of the encoder.
        decoder_layers: blocks of the char decoder.
        decoder_size: width of the char decoder, a multiple of 64.
        patches_per_step: patches restored a step, drawn from those hidden: the char decoder is what
            costs.
    """

    def __init__(
        self,
        layers: int,
        hidden_size: int,
        feature_size: int,
        patch_length: int,
        dropout: float,
        conv_radius: int,
        decoder_layers: int,
        decoder_size: int,
        patches_per_step: int,
    ) -> None:
        super().__init__()
        self.encoder = MusicEncoder(
            EncoderConfig(layers, hidden_size, feature_size, patch_length, dropout, conv_radius)
        )
        self.encoder.projection.requires_grad_(False)  # fitted when training has ended
        self.sizes = {
            "layers": layers,
            "hidden_size": hidden_size,
            "feature_size": feature_size,
            "patch_length": patch_length,
            "dropout": dropout,
            "conv_radius": conv_radius,
            "decoder_layers": decoder_layers,
            "decoder_size": decoder_size,
            "patches_per_step": patches_per_step,
        }
        self.decoder = BarCharDecoder(decoder_layers, decoder_size, hidden_size)
        self.proofreader = nn.Linear(hidden_size, 1)
        self.patches_per_step = patches_per_step

    @classmethod
    def of_sizes(cls, sizes: Mapping[str, Any]) -> Self:
        """An M3 with random weights, as large as the one whose ``sizes`` these are."""
        return cls(**sizes)

    def forward(self, excerpts: Tensor, lengths: Sequence[int]) -> M3Output:
        """Hide patches, restore them from what the encoder makes of the others, and doubt those.

        Args:
            excerpts: uint8 [patches, 65], excerpts one after another: each patch, and its
                :class:`~notagen.reward.bar_patches.Task`.
            lengths: patches of each excerpt.
        """
        patches, task = excerpts[:, :BAR_PATCH_SIZE], excerpts[:, BAR_PATCH_SIZE]
        has_text = patches[:, 1] > EOS
        masked = mask(patches, has_text & (task == Task.RESTORE))
        hidden = self.encoder(masked.patches, lengths)
        proofread = has_text & (task != Task.RESTORE)
        misplaced_logits = self.proofreader(hidden[proofread]).flatten()
        chosen = masked.chosen.nonzero().flatten()
        chosen = chosen[torch.randperm(len(chosen), device=chosen.device)[: self.patches_per_step]]
        nll = self.decoder(hidden[chosen], patches[chosen])
        return M3Output(nll, patches[chosen], misplaced_logits, task[proofread] == Task.MISPLACED)


def mask(patches: Tensor, eligible: Tensor) -> Masked:
    """Choose eligible patches at random and blank or perturb them (45 %; 80 %, 10 %, 10 %)."""
    device = patches.device
    chosen = eligible & (torch.rand(len(patches), device=device) < _CHOSEN)
    fate = torch.rand(len(patches), device=device)
    masked = patches.masked_fill((chosen & (fate < _BLANKED))[:, None], PAD)
    shuffled = chosen & (fate >= _BLANKED) & (fate < _BLANKED + _SHUFFLED)
    order = torch.rand(int(shuffled.sum()), BAR_PATCH_SIZE, device=device).argsort(1)
    masked[shuffled] = patches[shuffled].gather(1, order)
    return Masked(masked, chosen)


class BarCharDecoder(nn.Module):
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
        for group in order.tensor_split(_LENGTH_GROUPS):
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
