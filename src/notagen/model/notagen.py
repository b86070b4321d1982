"""NotaGen: a patch-level and a char-level decoder; the likelihood of every character.

Shapes, also as suffixes of variables: B = pieces, T = packed patches of all pieces, P = those of
them that are predicted (all but the first of each piece, P = T - B), S = 16 characters of a patch,
V = 128 character ids, C = packed characters (those of P patches that are not padding), U = distinct
inputs of the char level, D = hidden size.
"""

# No `from __future__ import annotations` here: huggingface_hub 2.4 makes `config` of the dictionary
# in config.json only where the annotation of `__init__` is the class itself, not its name.
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
from notagen.model.patch_embedding import PatchEmbedding
from notagen.patches import PAD, PATCH_SIZE, VOCABULARY
from notagen.prompts import Prompt, known_prompts
from notagen.ranges import Depth, Length, Rate, Width

Piece = Tensor | np.ndarray[Any, Any]
"""Integer patches [n, S] of a piece, n >= 2: the first is given, the others are predicted."""


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
        self.lora: LoRAConfig | None = None  # set by `adapt`
        self.prompts: list[Prompt] | None = None  # of its training; None where it is not known
        self.patch_decoder = PatchDecoder(config)
        self.char_decoder = CharDecoder(config)

    @classmethod
    def with_sizes(
        cls,
        *,
        patch_layers: Depth,
        char_layers: Depth,
        hidden_size: Width,
        patch_length: Length,
        dropout: Rate = 0.1,
        checkpointing: bool = False,
    ) -> Self:
        """A model of these sizes with random weights.

        Args:
            patch_layers, char_layers, hidden_size, patch_length, dropout, checkpointing: as in
                `ModelConfig`.

        Raises:
            ValueError: `hidden_size` is not a multiple of 64.
        """
        return cls(
            ModelConfig(
                patch_layers=patch_layers,
                char_layers=char_layers,
                hidden_size=hidden_size,
                patch_length=patch_length,
                dropout=dropout,
                checkpointing=checkpointing,
            )
        )

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        model = super()._from_pretrained(model_id=model_id, **options)
        model.prompts = known_prompts(Path(model_id))
        return model

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
            patches: integer [T, S], the pieces one after another, no padding patches.
            lengths: patches of each piece, each from 2 to `patch_length`.
            char_chunk: when training, hold the char level's activations of this many patches at a
                time; all characters must then have the same weight in the loss (`chunked_nll`).

        Returns:
            [T, S] in nats. Zero for padding and for the first patch of each piece, which is given
            and not predicted (see `predicted`).

        Raises:
            ValueError: a piece is too short or too long, or the lengths do not add up.
        """
        lengths = self._checked(patches, lengths)
        patches_TS = patches.long()
        target_T = follows_a_patch(lengths, patches_TS.device)
        # One to the left: a patch is an input where the next one is a target. The flag that `roll`
        # moves to the end is that of the first patch, which is never a target.
        input_T = target_T.roll(-1)
        hidden_PD = self.patch_decoder(patches_TS[input_T], [n - 1 for n in lengths])
        if char_chunk and torch.is_grad_enabled():
            nll_PS = chunked_nll(self.char_decoder, hidden_PD, patches_TS[target_T], char_chunk)
        else:
            nll_PS = self.char_decoder(hidden_PD, patches_TS[target_T])
        nll_TS: Tensor = nll_PS.new_zeros(patches.shape).masked_scatter(target_T[:, None], nll_PS)
        return nll_TS

    def loss(self, pieces: Sequence[Piece], char_chunk: int | None = None) -> Tensor:
        """Mean negative log-likelihood of a predicted character, a scalar in nats."""
        patches, lengths = self.pack(pieces)
        nll: Tensor = self(patches, lengths, char_chunk)
        return nll.sum() / predicted(patches, lengths).sum()

    def log_prob(self, pieces: Sequence[Piece]) -> Tensor:
        """Log-probability of each whole piece in nats, [B]."""
        patches, lengths = self.pack(pieces)
        return torch.stack([-nll.sum() for nll in self(patches, lengths).split(lengths)])

    def pack(self, pieces: Sequence[Piece]) -> tuple[Tensor, list[int]]:
        """Concatenate pieces on the model's device: [T, S], and the patches of each piece."""
        device = self.char_decoder.wte.weight.device
        tensors = [torch.as_tensor(piece, device=device) for piece in pieces]
        return torch.cat(tensors), [len(piece) for piece in tensors]

    def adapt(self, config: LoRAConfig) -> None:
        """Freeze the weights and put low-rank adapters beside them, in place."""
        from notagen.model import lora  # late: peft is slow to import

        lora.adapt(self, config)
        self.lora = config

    def merge_adapters(self) -> None:
        """Add the adapters' updates to the weights and remove the adapters, in place."""
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
        """Read a published `.pth` checkpoint; the sizes follow from the shapes of its weights.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not a NotaGen checkpoint.
        """
        config, weights = published.read(path)
        model = cls(config)
        published.check_tensors(weights, model.state_dict(), path, published.KIND)
        model.load_state_dict(weights)
        return model.eval()

    def save_published(self, path: str | Path) -> None:
        """Write a checkpoint in the published layout, which the published programs read."""
        published.write(self.state_dict(), path)


def follows_a_patch(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Mask of the predicted patches, all but the first of each piece: bool [T]."""
    first_B = torch.tensor([0, *lengths[:-1]], device=device).cumsum(0)
    return torch.ones(sum(lengths), dtype=torch.bool, device=device).index_fill(0, first_B, False)


def predicted(patches: Tensor, lengths: Sequence[int]) -> Tensor:
    """Mask of the characters that count in the loss, of a packed batch: [T, S] -> bool [T, S]."""
    return (patches != PAD) & follows_a_patch(lengths, patches.device)[:, None]


class PatchDecoder(nn.Module):
    """The patch level: GPT-2 over patch embeddings, causal within each piece."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedding = PatchEmbedding(config.hidden_size)
        # Unused, but every published file has it; kept for lossless round trips.
        self.wte = nn.Embedding(1, config.hidden_size).requires_grad_(False)
        self.wpe = nn.Embedding(config.patch_length, config.hidden_size)
        self.h = Blocks(config.patch_layers, config.hidden_size)
        self.ln_f = nn.LayerNorm(config.hidden_size)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.02)

    def forward(self, patches_TS: Tensor, lengths: Sequence[int]) -> Tensor:
        """Run packed pieces of `lengths` patches: integer [T, S] -> [T, D]."""
        positions_T = torch.cat([torch.arange(n, device=patches_TS.device) for n in lengths])
        drop = self.config.dropout if self.training else 0.0
        x_TD = dropout(self.patch_embedding(patches_TS) + self.wpe(positions_T), drop)
        attend = PackedAttention(lengths, drop, x_TD.device)
        keep = not (self.config.checkpointing and torch.is_grad_enabled())
        for block in self.h:
            if keep:
                x_TD = block(x_TD, attend, drop)
            else:
                x_TD = checkpoint(block, x_TD, attend, drop, use_reentrant=False)
        hidden_TD: Tensor = self.ln_f(x_TD)
        return hidden_TD


class CharDecoder(nn.Module):
    """The char level: GPT-2 over the hidden state of the patch before and the characters so far.

    The character embedding is also the output head.
    """

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

    def forward(self, hidden_PD: Tensor, patches_PS: Tensor) -> Tensor:
        """Negative log-likelihood of every character.

        Args:
            hidden_PD: the patch level's output at the patch before each one.
            patches_PS: long, the patches to predict, padding only at their ends.

        Returns:
            [P, S] in nats, zero where there is padding.
        """
        # Sorted by length, so that attention is one call per length.
        lengths_P, order_P = (patches_PS != PAD).sum(1).sort()
        hidden_PD, sorted_PS = hidden_PD[order_P], patches_PS[order_P]
        slots_S = torch.arange(PATCH_SIZE, device=patches_PS.device)
        real_PS = slots_S < lengths_P[:, None]
        inputs_UD, index_C = self._embed(hidden_PD, sorted_PS, real_PS)
        x_CD = self._blocks(inputs_UD, index_C, lengths_P.tolist())
        logits_CV = F.linear(x_CD, self.wte.weight)
        nll_C = F.cross_entropy(logits_CV, sorted_PS[real_PS], reduction="none")
        # Where each character stands in the caller's order of patches.
        flat_C = (order_P[:, None] * PATCH_SIZE + slots_S)[real_PS]
        return nll_C.new_zeros(patches_PS.numel()).scatter(0, flat_C, nll_C).view_as(patches_PS)

    def _embed(
        self, hidden_PD: Tensor, patches_PS: Tensor, real_PS: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Distinct inputs [U, D], and the index into them of each input, [C].

        Slot 0 of a patch reads the hidden state of the patch before, slot s > 0 the character in
        slot s - 1. There are at most 15·128 (slot, character) pairs, far fewer than characters.
        """
        slots = torch.arange(1, PATCH_SIZE, device=patches_PS.device)
        pairs = (slots * VOCABULARY + patches_PS[:, :-1])[real_PS[:, 1:]]
        distinct, pair_index = torch.unique(pairs, return_inverse=True)
        characters = self.wte(distinct % VOCABULARY) + self.wpe(distinct // VOCABULARY)
        n_patches = len(hidden_PD)
        index_PS = patches_PS.new_empty(patches_PS.shape)
        index_PS[:, 0] = torch.arange(n_patches, device=patches_PS.device)
        index_PS[:, 1:][real_PS[:, 1:]] = n_patches + pair_index
        return torch.cat([hidden_PD + self.wpe.weight[0], characters]), index_PS[real_PS]

    def _blocks(self, inputs_UD: Tensor, index_C: Tensor, lengths: list[int]) -> Tensor:
        """Run the blocks on distinct inputs and their index: [U, D] and [C] -> [C, D].

        The first block's computation before attention depends on the input alone, so it is done
        once per distinct input and then looked up. The dropout of the inputs is drawn there too,
        so the same input loses the same elements in all patches. Within a patch no two inputs are
        alike: the loss of each patch is distributed as if its dropout were its own, and the
        expected gradient is the same.
        """
        drop = self.config.dropout if self.training else 0.0
        attend = PackedAttention(lengths, drop, inputs_UD.device)
        first, *others = self.h
        weights = first.weights()
        inputs_UD = dropout(inputs_UD, drop)
        x_CD = F.embedding(index_C, inputs_UD)
        qkv = F.embedding(index_C, weights.project(inputs_UD))
        x_CD = weights.finish(x_CD, attend(qkv), drop)
        for block in others:
            x_CD = block(x_CD, attend, drop)
        hidden_CD: Tensor = self.ln_f(x_CD)
        return hidden_CD
