"""NotaGen: a patch-level and a char-level decoder; the likelihood of every character."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from notagen.model import published
from notagen.model.chunked_nll import chunked_nll
from notagen.model.config import LoRAConfig, ModelConfig
from notagen.model.gpt2 import Blocks, PackedAttention, dropout
from notagen.model.hub import HubModel
from notagen.patches import PAD, PATCH_SIZE, VOCABULARY

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
        self.lora: LoRAConfig | None = None  # the adapters it has; see `adapt`
        self.patch_decoder = PatchDecoder(config)
        self.char_decoder = CharDecoder(config)

    @classmethod
    def with_sizes(
        cls,
        *,
        patch_layers: int,
        char_layers: int,
        hidden_size: int,
        patch_length: int,
        dropout: float = 0.1,
        checkpointing: bool = False,
    ) -> Self:
        """A model of these sizes with random weights; see :class:`ModelConfig`."""
        sizes = patch_layers, char_layers, hidden_size, patch_length, dropout, checkpointing
        return cls(ModelConfig(*sizes))

    @property
    def sizes(self) -> dict[str, Any]:
        """Plain values from which :meth:`of_sizes` makes such a model again, adapters included."""
        lora = None if self.lora is None else asdict(self.lora)
        return {"config": asdict(self.config), "lora": lora}

    @classmethod
    def of_sizes(cls, sizes: Mapping[str, Any]) -> Self:
        """A model with random weights, as large as the one whose :attr:`sizes` these are."""
        model = cls(ModelConfig(**sizes["config"]))
        if sizes["lora"] is not None:
            model.adapt(LoRAConfig(**sizes["lora"]))
        return model

    def forward(
        self, patches: Tensor, lengths: Sequence[int] | Tensor, char_chunk: int | None = None
    ) -> Tensor:
        """Negative log-likelihood of every character of a packed batch.

        Args:
            patches: integer [patches, 16], the pieces one after another, no padding patches.
            lengths: patches of each piece, each from 2 to `patch_length`.
            char_chunk: when training, hold the char level's activations of only so many patches at
                a time; the loss must then weigh all characters alike (see `chunked_nll`).

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
        if char_chunk and torch.is_grad_enabled():
            nll = chunked_nll(self.char_decoder, vectors, patches[follows], char_chunk)
        else:
            nll = self.char_decoder(vectors, patches[follows])
        every: Tensor = nll.new_zeros(patches.shape).masked_scatter(follows[:, None], nll)
        return every

    def loss(self, pieces: Sequence[Piece], char_chunk: int | None = None) -> Tensor:
        """Mean negative log-likelihood of a predicted character, a scalar in nats."""
        patches, lengths = self.pack(pieces)
        nll: Tensor = self(patches, lengths, char_chunk)
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

    def adapt(self, config: LoRAConfig) -> None:
        """Freeze the weights and put low-rank adapters beside them, in place."""
        from notagen.model import lora

        lora.adapt(self, config)
        self.lora = config

    def merge_adapters(self) -> None:
        """Add what adapters have learnt to the weights and remove them, in place."""
        from notagen.model import lora

        lora.merge(self)
        self.lora = None

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
        published.check_tensors(weights, model.state_dict(), path, published.KIND)
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
