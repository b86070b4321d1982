"""MusicEncoder: bar patches to one vector a piece; published CLaMP 2 weights.

Of a CLaMP 2 checkpoint (``torch.save({"model": weights, "epoch": ..., ...})``) only the music
tower is read. Its patch embedding is [hidden, 64·128] for a one-hot product, the transpose of
what is stored here; its pooler is used by nothing and left out, as is the text tower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertModel

from notagen.model import published
from notagen.model.config import HEAD_SIZE
from notagen.model.hub import HubModel
from notagen.model.patch_embedding import PatchEmbedding
from notagen.model.published import Weights
from notagen.notation import Tune
from notagen.reward import bar_patches
from notagen.reward.bar_patches import BAR_PATCH_SIZE, BarPatches

_BATCH: Final = 4096  # patches in memory at a time, padding included

KIND: Final = "CLaMP 2"
PREFIXES: Final = {
    "music_model.patch_embedding.": "embedding.",
    "music_model.base.": "bert.",
    "music_proj.": "projection.",
}
_UNUSED: Final = ("text_model.", "text_proj.", "music_model.base.pooler.")
_POSITIONS: Final = "bert.embeddings.position_embeddings.weight"
_LAYER: Final = "bert.encoder.layer."


@dataclass
class EncoderConfig:
    """Sizes of a music encoder.

    Args:
        layers: BERT blocks.
        hidden_size: their width, a multiple of 64; there is one attention head per 64.
        feature_size: length of a piece's vector.
        patch_length: longest segment, in bar patches.
        dropout: probability in training, on embeddings, attention weights and residual branches.
        conv_radius: patches on each side that a patch is mixed with before attention; 0 as
            published.
    """

    layers: int
    hidden_size: int
    feature_size: int
    patch_length: int
    dropout: float = 0.1
    conv_radius: int = 0


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
        self.embedding = PatchEmbedding(config.hidden_size, BAR_PATCH_SIZE)
        if config.conv_radius:
            self.neighbours = LocalConv(config.hidden_size, config.conv_radius)
        sizes = BertConfig(
            vocab_size=1,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.hidden_size // HEAD_SIZE,
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
        sizes, weights = read_published(path)
        encoder = cls(EncoderConfig(**sizes))
        published.check_tensors(weights, encoder.state_dict(), path, KIND)
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
        if self.config.conv_radius:
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
        for batch in segment_batches(parts, _BATCH):
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


class LocalConv(nn.Module):
    """Adds to the vector of each patch what a small network makes of it and those around it.

    Whether a bar goes on from the one before is told by two patches that stand as far apart as
    there are voices. Attention must learn where to look before it can learn what to look for; a
    small encoder that has only attention does not get there in minutes.

    Args:
        hidden_size: of the vectors.
        radius: patches looked at on each side.
    """

    def __init__(self, hidden_size: int, radius: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.mix = nn.Conv1d(hidden_size, 4 * hidden_size, 2 * radius + 1, padding=radius)
        self.out = nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, vectors: Tensor, lengths: Sequence[int]) -> Tensor:
        """[patches, hidden], twice; there is nothing beside a segment's first and last patch.

        Args:
            vectors: segments one after another.
            lengths: patches of each segment.
        """
        around = pad_sequence(self.norm(vectors).split(lengths), batch_first=True)
        mixed = self.mix(around.transpose(1, 2)).transpose(1, 2)
        packed = torch.cat([row[:length] for row, length in zip(mixed, lengths, strict=True)])
        return vectors + cast(Tensor, self.out(F.gelu(packed)))


class Segment(NamedTuple):
    """A part of a piece that fits an encoder."""

    piece: int  # index of the piece it is cut from
    patches: BarPatches
    weight: int  # in the average over the piece: patches that no segment before it has


def segments(piece: int, patches: BarPatches, length: int) -> Iterator[Segment]:
    """Cut a piece to segments of ``length`` patches; the last one is the last ``length`` patches.

    As the published program does, so that the last two may overlap.
    """
    count = len(patches)
    for start in range(0, count, length):
        begin = max(0, min(start, count - length))
        yield Segment(piece, patches[begin : begin + length], min(length, count - start))


def segment_batches(parts: Sequence[Segment], max_patches: int) -> Iterator[list[Segment]]:
    """Group segments, shortest first, so that a group padded to its longest has so many patches.

    A group has at least one segment.
    """
    group: list[Segment] = []
    for part in sorted(parts, key=lambda part: len(part.patches)):
        if group and (len(group) + 1) * len(part.patches) > max_patches:
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def read_published(path: str | Path) -> tuple[dict[str, int], Weights]:
    """The sizes of a checkpoint's music tower, as arguments of ``EncoderConfig``, and its weights.

    Raises:
        ValueError: the file is not a CLaMP 2 checkpoint; it names the file and the reason.
    """
    weights = {
        _renamed(name, path): weight
        for name, weight in published.read_tensors(path, KIND).items()
        if not name.startswith(_UNUSED)
    }
    for name in (_POSITIONS, "projection.weight", "embedding.weight"):
        if name not in weights:
            raise ValueError(f"{path} is not a {KIND} checkpoint: {name} is missing")
    weights["embedding.weight"] = weights["embedding.weight"].T.contiguous()
    feature_size, hidden_size = weights["projection.weight"].shape
    layers = {name.removeprefix(_LAYER).split(".")[0] for name in weights if _LAYER in name}
    sizes = {
        "layers": len(layers),
        "hidden_size": hidden_size,
        "feature_size": feature_size,
        "patch_length": len(weights[_POSITIONS]),
    }
    return sizes, weights


def _renamed(name: str, path: str | Path) -> str:
    for theirs, ours in PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise ValueError(f"{path} is not a {KIND} checkpoint: {name} is unknown")
