"""A music encoder: a piece of music in, one vector out (M3 and CLaMP 2, arXiv 2410.13267)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertModel

from notagen import bar_patches, weight_files
from notagen.bar_patches import BAR_PATCH_SIZE, BarPatches
from notagen.hub import HubModel
from notagen.notation import Tune
from notagen.patches import VOCABULARY
from notagen.reward import published
from notagen.reward.neighbours import Neighbours
from notagen.reward.segments import Segment, batches, segments

_HEAD_SIZE: Final = 64
_BATCH: Final = 4096  # patches in memory at a time, padding included


@dataclass
class EncoderConfig:
    """Sizes of a music encoder.

    Args:
        layers: BERT blocks.
        hidden_size: their width, a multiple of 64; there is one attention head per 64.
        feature_size: length of a piece's vector.
        patch_length: longest segment, in bar patches.
        dropout: probability in training, on embeddings, attention weights and residual branches.
        reach: patches on each side that a patch is mixed with before attention; 0 as published.
    """

    layers: int
    hidden_size: int
    feature_size: int
    patch_length: int
    dropout: float = 0.1
    reach: int = 0


class BarEmbedding(nn.Module):
    """A vector per bar patch: the sum of one table row per (slot, character), plus a bias.

    The same function as the published one-hot [64·128] times a matrix; padding counts.
    """

    slots: Tensor

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(BAR_PATCH_SIZE * VOCABULARY, hidden_size))
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        nn.init.normal_(self.weight, std=0.02)
        self.register_buffer("slots", torch.arange(BAR_PATCH_SIZE) * VOCABULARY, persistent=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Integer [patches, 64] -> [patches, hidden]."""
        return F.embedding_bag(patches + self.slots, self.weight, mode="sum") + self.bias


class MusicEncoder(
    nn.Module,
    HubModel,
    library_name="notagen",
    paper_url="https://arxiv.org/abs/2410.13267",
    license="mit",
):
    """BERT over bar patches, their mean, and a projection.

    ``save_pretrained(dir)`` writes ``config.json`` and ``model.safetensors``;
    ``from_pretrained(dir or hub id)`` reads them and returns the encoder in evaluation mode.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = BarEmbedding(config.hidden_size)
        if config.reach:
            self.neighbours = Neighbours(config.hidden_size, config.reach)
        sizes = BertConfig(
            vocab_size=1,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.hidden_size // _HEAD_SIZE,
            intermediate_size=4 * config.hidden_size,
            max_position_embeddings=config.patch_length,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
        )
        self.bert = BertModel(sizes, add_pooling_layer=False)
        # In every published file and used by nothing: patches are embedded above.
        self.bert.embeddings.word_embeddings.requires_grad_(False)
        self.projection = nn.Linear(config.hidden_size, config.feature_size)

    @classmethod
    def from_published(cls, path: str | Path) -> Self:
        """The music tower of a published CLaMP 2 checkpoint; its sizes are told from its shapes.

        Raises:
            ValueError: the file is not a CLaMP 2 checkpoint; it names the file and the reason.
        """
        sizes, weights = published.read(path)
        encoder = cls(EncoderConfig(**sizes))
        weight_files.check(weights, encoder.state_dict(), path, published.KIND)
        encoder.load_state_dict(weights)
        return encoder.eval()

    def forward(self, patches: Tensor, lengths: Sequence[int]) -> Tensor:
        """What each patch is in its context.

        Args:
            patches: integer [patches, 64], segments one after another.
            lengths: patches of each segment, at most ``patch_length``.

        Returns:
            float32 [patches, hidden].
        """
        vectors = self.embedding(patches.long())
        if self.config.reach:
            vectors = self.neighbours(vectors, lengths)
        embedded = pad_sequence(vectors.split(lengths), batch_first=True)
        real = torch.arange(embedded.shape[1]) < torch.tensor(lengths)[:, None]
        real = real.to(embedded.device)
        mask = None if bool(real.all()) else real
        hidden: Tensor = self.bert(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return hidden[real]

    def means(self, segments: Sequence[BarPatches]) -> Tensor:
        """The mean of each segment's vectors, float32 [segments, hidden], on the CPU."""
        lengths = [len(patches) for patches in segments]
        patches = torch.from_numpy(np.concatenate(segments))
        hidden = self(patches.to(self.embedding.weight.device), lengths)
        return torch.stack([part.mean(0) for part in hidden.split(lengths)]).float().cpu()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Features of pieces, float32 [texts, features], on the CPU.

        Long pieces are cut to segments, whose features are averaged. Segments are computed
        sorted by length, many at a time.

        Args:
            texts: ABC in any layout; rests are completed and comments left out here.

        Raises:
            NotationError: (a ValueError) a text cannot be read.
            ValueError: a text is not ASCII.
        """
        pieces = [bar_patches.encode(bar_patches.normal_form(Tune.parse(text))) for text in texts]
        length = self.config.patch_length
        parts = [part for i, piece in enumerate(pieces) for part in segments(i, piece, length)]
        total = torch.zeros(len(texts), self.config.feature_size)
        weight = torch.zeros(len(texts), 1)
        for batch in batches(parts, _BATCH):
            weights = torch.tensor([[part.weight] for part in batch], dtype=torch.float32)
            owners = torch.tensor([part.piece for part in batch])
            total.index_add_(0, owners, self._features(batch) * weights)
            weight.index_add_(0, owners, weights)
        return total / weight

    def _features(self, parts: Sequence[Segment]) -> Tensor:
        means = self.means([part.patches for part in parts])
        features: Tensor = self.projection(means.to(self.projection.weight.device))
        return features.cpu()

    def fingerprint(self) -> str:
        """A hash of sizes and weights: of two encoders with the same one, features are alike."""
        digest = hashlib.sha256(repr(self.config).encode())
        for name, weight in self.state_dict().items():
            digest.update(name.encode())
            digest.update(weight.cpu().numpy().tobytes())
        return digest.hexdigest()
