"""M3: pre-training of a music encoder by restoring hidden bars (arXiv 2410.13267, section 3.2).

Finding misplaced bars is added here: it teaches a small encoder the order of bars.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple, Self

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model

from notagen.errors import UserError
from notagen.model.config import HEAD_SIZE
from notagen.patches import EOS, PAD, VOCABULARY
from notagen.ranges import Count, Depth, Length, Rate, Width
from notagen.reward.bar_patches import BAR_PATCH_SIZE, Task
from notagen.reward.encoder import EncoderConfig, MusicEncoder

# As published:
_CHOSEN: Final = 0.45  # fraction of the patches that are to be restored
_BLANKED: Final = 0.8  # fraction of these that is blanked
_SHUFFLED: Final = 0.1  # fraction of these whose characters are shuffled; the others stay as is

_LENGTH_GROUPS: Final = 4  # of patches of similar length, each padded to its longest


class Masked(NamedTuple):
    """Patches [patches, 64], some of them hidden, and the mask of those to restore [patches]."""

    patches: Tensor
    chosen: Tensor


class M3Output(NamedTuple):
    """Likelihood of the restored patches, and predictions for the misplaced ones.

    Attributes:
        nll: negative log-likelihood of the restored patches' characters, in nats, [restored, 63].
        patches: the restored patches, [restored, 64].
        misplaced_logits: log-odds that a patch is out of place, [proofread].
        misplaced_labels: whether it is, bool [proofread].
    """

    nll: Tensor
    patches: Tensor
    misplaced_logits: Tensor
    misplaced_labels: Tensor


class M3(nn.Module):
    """A music encoder with the char decoder and classifier that train it.

    Args:
        layers, hidden_size, feature_size, patch_length, dropout, conv_radius: of the encoder.
        decoder_layers: blocks of the char decoder.
        decoder_size: width of the char decoder, a multiple of 64.
        patches_per_step: patches to restore per step, drawn from the hidden ones: the char decoder
            takes most of the time.

    Raises:
        UserError: ``feature_size`` is above ``hidden_size``.
    """

    def __init__(
        self,
        layers: Depth,
        hidden_size: Width,
        feature_size: Annotated[int, Interval(ge=1, le=2**16)],
        patch_length: Length,
        dropout: Rate,
        conv_radius: Annotated[int, Interval(ge=0, le=1000)],
        decoder_layers: Depth,
        decoder_size: Width,
        patches_per_step: Count,
    ) -> None:
        super().__init__()
        if feature_size > hidden_size:  # found out about when the projection is fitted, otherwise
            raise UserError(
                f"feature_size={feature_size} is above hidden_size={hidden_size}; choose less"
            )
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
        """Hide patches, restore them from their context, and classify the patches to proofread.

        Args:
            excerpts: uint8 [patches, 65], packed excerpts: each patch, followed by its
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
    """Choose 45 % of the eligible patches; blank 80 % and shuffle 10 % of these."""
    device = patches.device
    chosen = eligible & (torch.rand(len(patches), device=device) < _CHOSEN)
    draw = torch.rand(len(patches), device=device)
    masked = patches.masked_fill((chosen & (draw < _BLANKED))[:, None], PAD)
    shuffled = chosen & (draw >= _BLANKED) & (draw < _BLANKED + _SHUFFLED)
    order = torch.rand(int(shuffled.sum()), BAR_PATCH_SIZE, device=device).argsort(1)
    masked[shuffled] = patches[shuffled].gather(1, order)
    return Masked(masked, chosen)


class BarCharDecoder(nn.Module):
    """GPT-2 over the characters of a patch, preceded by the patch's vector.

    Args:
        layers: GPT-2 blocks.
        hidden_size: width of the blocks, a multiple of 64.
        encoder_size: width of the patch vectors.
    """

    def __init__(self, layers: int, hidden_size: int, encoder_size: int) -> None:
        super().__init__()
        self.start = nn.Linear(encoder_size, hidden_size)
        sizes = GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=BAR_PATCH_SIZE,
            n_embd=hidden_size,
            n_layer=layers,
            n_head=hidden_size // HEAD_SIZE,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            resid_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
        self.gpt2 = GPT2Model(sizes)

    def forward(self, vectors: Tensor, patches: Tensor) -> Tensor:
        """Negative log-likelihood of every character but the first, which is always ``BOS``.

        Patches are run in groups of similar length.

        Args:
            vectors: float [patches, encoder].
            patches: integer [patches, 64], the characters to restore.

        Returns:
            [patches, 63] in nats; zero for padding.
        """
        characters = patches[:, 1:].long()
        if not len(patches):  # an empty result on which all weights depend: DDP needs gradients
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
        embedded = self.gpt2.wte(characters[:, :-1])
        inputs = torch.cat([self.start(vectors)[:, None], embedded], dim=1)
        hidden = self.gpt2(inputs_embeds=inputs, use_cache=False).last_hidden_state
        logits = hidden @ self.gpt2.wte.weight.T
        return F.cross_entropy(
            logits.flatten(0, 1), characters.flatten(), ignore_index=PAD, reduction="none"
        ).view(characters.shape)
