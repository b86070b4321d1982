"""The published formulation, written plainly: what our model must equal and be faster than.

One-hot patches times a matrix, Hugging Face GPT-2 on both levels, every patch as 17 char slots
whether they hold characters or padding, padded batches with masks, no cache, sampling in numpy,
and patches as lists of lists.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from notagen.model import ModelConfig
from notagen.patches import BOS, EOS, PAD, PATCH_SIZE, VOCABULARY

BARLINE = re.compile(r"(::|:\||\|:|\|\||\|\]|\[\||\|)")


def gpt2_config(layers: int, positions: int, vocabulary: int, config: ModelConfig) -> GPT2Config:
    return GPT2Config(
        vocab_size=vocabulary,
        n_positions=positions,
        n_embd=config.hidden_size,
        n_layer=layers,
        n_head=config.hidden_size // 64,
        embd_pdrop=config.dropout,
        attn_pdrop=config.dropout,
        resid_pdrop=config.dropout,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )


class PatchLevelDecoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(PATCH_SIZE * VOCABULARY, config.hidden_size)
        self.base = GPT2Model(gpt2_config(config.patch_layers, config.patch_length, 1, config))

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """[batch, length, 16] -> [batch, length, hidden]."""
        one_hot = F.one_hot(patches, VOCABULARY).to(self.patch_embedding.weight.dtype)
        embedded = self.patch_embedding(one_hot.flatten(2))
        encoded: Tensor = self.base(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return encoded


class CharLevelDecoder(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.base = GPT2LMHeadModel(
            gpt2_config(config.char_layers, PATCH_SIZE + 1, VOCABULARY, config)
        )

    def logits(self, vectors: Tensor, patches: Tensor) -> Tensor:
        """[patches, hidden] and the characters so far [patches, k] -> [patches, k + 1, 128]."""
        characters = self.base.transformer.wte(patches)
        inputs = torch.cat([vectors[:, None], characters], dim=1)
        mask = F.pad(patches != PAD, (1, 0), value=True).long()
        logits: Tensor = self.base(inputs_embeds=inputs, attention_mask=mask).logits
        return logits

    def forward(self, vectors: Tensor, patches: Tensor) -> Tensor:
        """Negative log-likelihood of each character [patches, 16], zero for padding."""
        logits = self.logits(vectors, patches)[:, :-1]
        return F.cross_entropy(logits.mT, patches, ignore_index=PAD, reduction="none")


class Reference(nn.Module):
    """Parameters are named as in the published checkpoints."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_level_decoder = PatchLevelDecoder(config)
        self.char_level_decoder = CharLevelDecoder(config)

    def forward(self, pieces: Sequence[Tensor]) -> Tensor:
        """Negative log-likelihood of each predicted character, [predicted patches, 16]."""
        patches = nn.utils.rnn.pad_sequence([p.long() for p in pieces], batch_first=True)
        lengths = torch.tensor([len(piece) for piece in pieces], device=patches.device)
        steps = torch.arange(patches.shape[1], device=patches.device)
        mask = steps < lengths[:, None]
        encoded = self.patch_level_decoder(patches, mask.long())
        vectors, targets = encoded[steps < lengths[:, None] - 1], patches[mask & (steps > 0)]
        nll: Tensor = self.char_level_decoder(vectors, targets)
        return nll

    def loss(self, pieces: Sequence[Tensor]) -> Tensor:
        """Mean over all predicted characters."""
        counted = sum(int((piece[1:] != PAD).sum()) for piece in pieces)
        total: Tensor = self(pieces).sum()
        return total / counted

    @torch.no_grad()
    def next_patch(self, patches: Tensor, choose: Callable[[Tensor], int]) -> list[int]:
        """One more patch after [length, 16]; everything is computed anew for every character.

        `choose` makes an id of probabilities [128]. All 16 characters are sampled; what follows
        the end of a patch is padding.
        """
        mask = torch.ones(1, len(patches), dtype=torch.long)
        vector = self.patch_level_decoder(patches[None].long(), mask)[:, -1]
        ids: list[int] = []
        for _ in range(PATCH_SIZE):
            so_far = torch.tensor([ids], dtype=torch.long)
            probabilities = self.char_level_decoder.logits(vector, so_far)[0, -1].softmax(-1)
            ids.append(choose(probabilities))
        return ids


def draw(
    probabilities: Tensor,
    rng: np.random.Generator,
    top_k: int = 9,
    top_p: float = 0.9,
    temperature: float = 1.2,
) -> int:
    """An id of probabilities [128]: top-k, then top-p, then temperature, each normalised."""
    weights = probabilities.double().numpy()
    order = np.argsort(-weights)
    weights[order[top_k:]] = 0.0
    weights /= weights.sum()
    before = np.cumsum(weights[order]) - weights[order]
    weights[order[before >= top_p]] = 0.0
    weights /= weights.sum()
    weights **= 1 / temperature
    weights /= weights.sum()
    return int(rng.choice(VOCABULARY, p=weights))


def encode(text: str) -> list[list[int]]:
    """Patches of a whole piece, of interleaved ABC without stream marks."""
    lines = text.splitlines(keepends=True)
    body = [i for i, line in enumerate(lines) if line.startswith("[V:")]
    patches = [[BOS] * (PATCH_SIZE - 1) + [EOS]]
    for i, line in enumerate(lines):
        if i < body[0]:
            patches += patches_of(line)
            continue
        first, *others = BARLINE.split(f"[r:{i - body[0]}/{body[-1] - i}]{line}")
        barlines, contents = others[::2], others[1::2]
        bars = [first, *map("".join, zip(barlines, contents, strict=True))]
        if "V" not in contents[-1]:  # no voice stands behind the last barline
            bars[-2:] = ["".join(bars[-2:])]
        for bar in bars:
            patches += patches_of(bar)
    return [*patches, [BOS] + [EOS] * (PATCH_SIZE - 1)]


def patches_of(text: str) -> list[list[int]]:
    """A header line or a bar: 16 characters a patch, the last one ended and padded."""
    patches = [
        [ord(character) for character in text[start : start + PATCH_SIZE]]
        for start in range(0, len(text), PATCH_SIZE)
    ]
    if len(patches[-1]) < PATCH_SIZE:
        patches[-1] += [EOS] + [PAD] * (PATCH_SIZE - 1 - len(patches[-1]))
    return patches
