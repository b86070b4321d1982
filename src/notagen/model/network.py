"""NotaGen: patches in, the likelihood of every character out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from notagen import weight_files
from notagen.hub import HubModel
from notagen.model import published
from notagen.model.char_level import CharDecoder
from notagen.model.chunked import chunked_nll
from notagen.model.config import ModelConfig
from notagen.model.patch_level import PatchDecoder
from notagen.patches import PAD, PATCH_SIZE

if TYPE_CHECKING:
    from notagen.model.adapters import LoRA

Piece = Tensor | np.ndarray[Any, Any]
"""A piece as integer patches [n, 16], n >= 2: the first is given, the others are predicted."""


class NotaGen(
    nn.Module,
    HubModel,
    library_name="notagen",
    paper_url="https://arxiv.org/abs/2502.18008",
    license="mit",
):
    """The hierarchical decoder of NotaGen (arXiv 2502.18008, section 3).

    `save_pretrained(dir)` writes `config.json` and `model.safetensors`;
    `from_pretrained(dir or hub id)` reads them and returns the model in eval mode.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.lora: LoRA | None = None  # the adapters it wears; see `adapters`
        self.patch_decoder = PatchDecoder(config)
        self.char_decoder = CharDecoder(config)

    def forward(
        self, patches: Tensor, lengths: Sequence[int] | Tensor, chunk: int | None = None
    ) -> Tensor:
        """Negative log-likelihood of every character of a packed batch.

        Args:
            patches: integer [patches, 16], the pieces one after another, no padding patches.
            lengths: patches of each piece, each from 2 to `patch_length`.
            chunk: when training, hold the char level's activations of only so many patches at a
                time; the loss must then weigh all characters alike (see `chunked`).

        Returns:
            [patches, 16] in nats. Zero for padding and for the first patch of each piece, which
            is given and not predicted (`predicted` tells which are counted).

        Raises:
            ValueError: when a piece is too short, too long, or the lengths do not add up.
        """
        lengths = self._checked(patches, lengths)
        patches = patches.long()
        follows = follows_a_patch(lengths, patches.device)
        precedes = follows.roll(-1)
        vectors = self.patch_decoder(patches[precedes], [n - 1 for n in lengths])
        if chunk and torch.is_grad_enabled():
            nll = chunked_nll(self.char_decoder, vectors, patches[follows], chunk)
        else:
            nll = self.char_decoder(vectors, patches[follows])
        every: Tensor = nll.new_zeros(patches.shape).masked_scatter(follows[:, None], nll)
        return every

    def loss(self, pieces: Sequence[Piece], chunk: int | None = None) -> Tensor:
        """Mean negative log-likelihood of a predicted character, a scalar in nats."""
        patches, lengths = self.pack(pieces)
        nll: Tensor = self(patches, lengths, chunk)
        return nll.sum() / predicted(patches, lengths).sum()

    def log_prob(self, pieces: Sequence[Piece]) -> Tensor:
        """Log-probability of each whole piece in nats, [pieces]."""
        patches, lengths = self.pack(pieces)
        return torch.stack([-nll.sum() for nll in self(patches, lengths).split(lengths)])

    def pack(self, pieces: Sequence[Piece]) -> tuple[Tensor, list[int]]:
        """Pieces one after another on the model's device, and how many patches each has."""
        device = self.char_decoder.wte.weight.device
        tensors = [torch.as_tensor(piece, device=device) for piece in pieces]
        return torch.cat(tensors), [len(piece) for piece in tensors]

    def _checked(self, patches: Tensor, lengths: Sequence[int] | Tensor) -> list[int]:
        counts = lengths.tolist() if isinstance(lengths, Tensor) else list(lengths)
        if patches.dim() != 2 or patches.shape[1] != PATCH_SIZE or len(patches) != sum(counts):
            raise ValueError(
                f"patches of shape {tuple(patches.shape)} do not hold pieces of {counts} patches "
                f"of {PATCH_SIZE} characters"
            )
        if min(counts) < 2 or max(counts) > self.config.patch_length:
            raise ValueError(
                f"every piece must have 2 to {self.config.patch_length} patches, but these have "
                f"{min(counts)} to {max(counts)}: cut longer ones to a window"
            )
        return counts

    @classmethod
    def from_published(cls, path: str | Path) -> Self:
        """Read a published `.pth` checkpoint; its sizes are told from its shapes.

        Raises:
            ValueError: when the file is not a NotaGen checkpoint.
        """
        config, weights = published.read(path)
        model = cls(config)
        weight_files.check(weights, model.state_dict(), path, published.KIND)
        model.load_state_dict(weights)
        return model.eval()

    def save_published(self, path: str | Path) -> None:
        """Write the layout of the published checkpoints, which the published programs read."""
        published.write(self.state_dict(), path)


def follows_a_patch(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Which patches of a packed batch are predicted: all but the first of each piece, [patches]."""
    first = torch.tensor([0, *lengths[:-1]], device=device).cumsum(0)
    return torch.ones(sum(lengths), dtype=torch.bool, device=device).index_fill(0, first, False)


def predicted(patches: Tensor, lengths: Sequence[int]) -> Tensor:
    """Which characters of a packed batch count in the loss, bool [patches, 16]."""
    return (patches != PAD) & follows_a_patch(lengths, patches.device)[:, None]
