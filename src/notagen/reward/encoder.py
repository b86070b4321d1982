"""MusicEncoder: a piece in bar patches to one vector; published CLaMP 2 weights.

Only the music tower of a CLaMP 2 checkpoint (``torch.save({"model": weights, "epoch": ..., ...})``)
is read. Its patch embedding is [hidden, 64 * 128], for a product with one-hot vectors, and is
transposed here. Its pooler, which CLaMP 2 does not use, and the text tower are left out.
"""

# No postponed annotations in this file: huggingface_hub (2.4) makes the config from a folder's
# JSON only if the annotation of `config` is the class itself, not a string.

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

from notagen.errors import UserError
from notagen.model import published
from notagen.model.config import HEAD_SIZE
from notagen.model.hub import HubModel
from notagen.model.patch_embedding import PatchEmbedding
from notagen.model.published import Weights
from notagen.model.weights import fingerprint
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
        hidden_size: width of the blocks, a multiple of 64; one attention head per 64.
        feature_size: length of a piece's vector.
        patch_length: maximum length of a segment, in bar patches.
        dropout: probability in training, on embeddings, attention weights and residual branches.
        conv_radius: patches on each side that :class:`LocalConv` looks at; 0 for no convolution,
            as published.

    Raises:
        UserError: a size is below 1, or ``hidden_size`` is no multiple of 64.
    """

    layers: int
    hidden_size: int
    feature_size: int
    patch_length: int
    dropout: float = 0.1
    conv_radius: int = 0

    def __post_init__(self) -> None:
        sizes = (self.layers, self.hidden_size, self.feature_size, self.patch_length)
        if not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise UserError(f"sizes of an encoder are whole numbers from 1 on, not {sizes}")
        if self.hidden_size % HEAD_SIZE:
            raise UserError(
                f"hidden_size must be a multiple of {HEAD_SIZE}, one head each, "
                f"not {self.hidden_size}"
            )


class MusicEncoder(
    nn.Module,
    HubModel,
    library_name="notagen",
    paper_url="https://arxiv.org/abs/2410.13267",
    license="mit",
):
    """BERT over bar patches, mean pooling, and a projection (CLaMP 2, arXiv 2410.13267).

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
        # Part of every published file but unused: `embedding` takes its place.
        self.bert.embeddings.word_embeddings.requires_grad_(False)
        self.projection = nn.Linear(config.hidden_size, config.feature_size)

    @classmethod
    def from_published(cls, path: str | Path) -> Self:
        """Load the music tower of a published CLaMP 2 checkpoint; shapes determine the sizes.

        Raises:
            ValueError: the file is not a CLaMP 2 checkpoint; the message names file and reason.
        """
        sizes, weights = read_published(path)
        encoder = cls(EncoderConfig(**sizes))
        published.check_tensors(weights, encoder.state_dict(), path, KIND)
        encoder.load_state_dict(weights)
        return encoder.eval()

    def forward(self, patches: Tensor, lengths: Sequence[int]) -> Tensor:
        """Contextual vectors of bar patches. [patches, 64] -> [patches, hidden].

        Args:
            patches: integer [patches, 64], packed segments.
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
        mask = (
            None if bool(real.all()) else real
        )  # without a mask, attention may use a faster kernel
        hidden: Tensor = self.bert(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        return hidden[real]

    def means(self, segments: Sequence[BarPatches]) -> Tensor:
        """Mean vector of each segment, float32 [segments, hidden], on the CPU."""
        lengths = [len(patches) for patches in segments]
        patches = torch.from_numpy(np.concatenate(segments))
        hidden = self(patches.to(self.embedding.weight.device), lengths)
        return torch.stack([part.mean(0) for part in hidden.split(lengths)]).float().cpu()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Features of pieces, float32 [texts, features], on the CPU.

        A long piece is cut into segments, and its feature is their weighted mean. Segments are
        batched by length.

        Args:
            texts: ABC in any layout; rests are completed and comments removed here.

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

    def _features(self, parts: Sequence["Segment"]) -> Tensor:
        means = self.means([part.patches for part in parts])
        features: Tensor = self.projection(means.to(self.projection.weight.device))
        return features.cpu()

    def fingerprint(self) -> str:
        """SHA-256 of sizes and weights: encoders with equal fingerprints compute equal features."""
        return fingerprint(self.state_dict(), sizes=repr(self.config))


class LocalConv(nn.Module):
    """Residual convolution over neighbouring patches, before attention; not in CLaMP 2.

    Whether a bar continues the previous one shows in two patches of the same voice, which are as
    many patches apart as there are voices. Attention must first learn where to look; a small
    encoder with attention alone does not learn it within minutes of training.

    Args:
        hidden_size: width of the vectors.
        radius: patches on each side.
    """

    def __init__(self, hidden_size: int, radius: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden_size)
        self.mix = nn.Conv1d(hidden_size, 4 * hidden_size, 2 * radius + 1, padding=radius)
        self.out = nn.Linear(4 * hidden_size, hidden_size)

    def forward(self, vectors: Tensor, lengths: Sequence[int]) -> Tensor:
        """Mix each vector with its neighbours. [patches, hidden] -> [patches, hidden].

        Args:
            vectors: packed segments; beyond a segment's ends there are zeros.
            lengths: patches of each segment.
        """
        around = pad_sequence(self.norm(vectors).split(lengths), batch_first=True)
        mixed = self.mix(around.transpose(1, 2)).transpose(1, 2)
        packed = torch.cat([row[:length] for row, length in zip(mixed, lengths, strict=True)])
        return vectors + cast(Tensor, self.out(F.gelu(packed)))


class Segment(NamedTuple):
    """A part of a piece that fits into an encoder."""

    piece: int  # index of its piece
    patches: BarPatches
    weight: int  # in the mean over the piece: number of patches not in an earlier segment


def segments(piece: int, patches: BarPatches, length: int) -> Iterator[Segment]:
    """Cut a piece into segments of ``length`` patches; the last one ends where the piece ends.

    So the last two may overlap, as in the published program.
    """
    count = len(patches)
    for start in range(0, count, length):
        begin = max(0, min(start, count - length))
        yield Segment(piece, patches[begin : begin + length], min(length, count - start))


def segment_batches(parts: Sequence[Segment], max_patches: int) -> Iterator[list[Segment]]:
    """Batch segments, shortest first, with at most ``max_patches`` patches including padding.

    A batch has at least one segment, whatever its length.
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
    """Read the music tower of a checkpoint: arguments of ``EncoderConfig``, and weights.

    Raises:
        ValueError: the file is not a CLaMP 2 checkpoint; the message names file and reason.
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
