"""M3, a music encoder that trains in minutes: hidden bars are restored from their context.

After M3 of CLaMP 2 (arXiv 2410.13267, section 3.2). In other excerpts, of which nothing is hidden,
the encoder says of each bar whether it is out of place, since a mean over bars otherwise knows
little of their order.
What makes features of it that can be compared is in :mod:`notagen.reward.projection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from notagen.bar_patches import BAR_PATCH_SIZE, Task
from notagen.patches import EOS, PAD
from notagen.reward.char_decoder import CharDecoder
from notagen.reward.encoder import EncoderConfig, MusicEncoder

_CHOSEN: Final = 0.45  # of the patches are to be restored;
_BLANKED: Final = 0.8  # of these, so many are blanked,
_SHUFFLED: Final = 0.1  # so many have their characters shuffled, and the rest stay as they are


class Masked(NamedTuple):
    """Patches [patches, 64] with some made unreadable, and which are to be restored [patches]."""

    patches: Tensor
    chosen: Tensor


class Answers(NamedTuple):
    """How well some of the hidden patches were restored, and what was said of those shown.

    Attributes:
        nll: of the characters of the restored patches, in nats, [restored, 63].
        patches: the restored patches, [restored, 64].
        doubts: log-odds that a patch is out of place, [proofread].
        misplaced: whether it is, bool [proofread].
    """

    nll: Tensor
    patches: Tensor
    doubts: Tensor
    misplaced: Tensor


class M3(nn.Module):
    """A music encoder and what trains it.

    Args:
        layers, hidden_size, feature_size, patch_length, dropout, reach: of the encoder.
        decoder_layers: blocks of the char decoder.
        decoder_size: width of the char decoder, a multiple of 64.
        restored: patches restored a step, drawn from those hidden: the char decoder is what costs.
    """

    def __init__(
        self,
        layers: int,
        hidden_size: int,
        feature_size: int,
        patch_length: int,
        dropout: float,
        reach: int,
        decoder_layers: int,
        decoder_size: int,
        restored: int,
    ) -> None:
        super().__init__()
        self.encoder = MusicEncoder(
            EncoderConfig(layers, hidden_size, feature_size, patch_length, dropout, reach)
        )
        self.encoder.projection.requires_grad_(False)  # fitted when training has ended
        self.decoder = CharDecoder(decoder_layers, decoder_size, hidden_size)
        self.proofreader = nn.Linear(hidden_size, 1)
        self.restored = restored

    def forward(self, excerpts: Tensor, lengths: Sequence[int]) -> Answers:
        """Hide patches, restore them from what the encoder makes of the others, and doubt those.

        Args:
            excerpts: uint8 [patches, 65], excerpts one after another: each patch, and its
                :class:`~notagen.bar_patches.Task`.
            lengths: patches of each excerpt.
        """
        patches, task = excerpts[:, :BAR_PATCH_SIZE], excerpts[:, BAR_PATCH_SIZE]
        has_text = patches[:, 1] > EOS
        masked = mask(patches, has_text & (task == Task.RESTORE))
        hidden = self.encoder(masked.patches, lengths)
        proofread = has_text & (task != Task.RESTORE)
        doubts = self.proofreader(hidden[proofread]).flatten()
        chosen = masked.chosen.nonzero().flatten()
        chosen = chosen[torch.randperm(len(chosen), device=chosen.device)[: self.restored]]
        nll = self.decoder(hidden[chosen], patches[chosen])
        return Answers(nll, patches[chosen], doubts, task[proofread] == Task.MISPLACED)


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
