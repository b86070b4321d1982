"""The rows of a corpus whose encoder features are nearest to those of reference rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from datasets import Dataset
from rich.progress import track
from torch import Tensor

from notagen.reward.loading import Encoder
from notagen.reward.similarity import score

_BATCH: Final = 64  # pieces between two steps of the progress bar


def nearest(
    encoder: Encoder, splits: Mapping[str, Dataset], reference: Dataset, fraction: float
) -> dict[str, Dataset]:
    """Select the pieces of each split with the highest cosine with the reference's mean feature.

    Args:
        encoder: computes features.
        splits: rows to select from, by split.
        reference: rows to compare with.
        fraction: of the pieces of each split to select, at least one.

    Returns:
        The selected rows of each split, in their order.
    """
    wanted = _features(encoder, reference)
    return {
        name: rows.select(_highest(score(_features(encoder, rows), wanted).score, fraction))
        for name, rows in splits.items()
    }


def _features(encoder: Encoder, rows: Dataset) -> Tensor:
    """Features of pieces, [pieces, features]."""
    texts = rows["text"]
    starts = range(0, len(rows), _BATCH)
    return torch.cat(
        [
            encoder.encode(texts[start : start + _BATCH])
            for start in track(starts, "encoding pieces")
        ]
    )


def _highest(scores: Tensor, fraction: float) -> list[int]:
    """Indices of the highest scores, ascending; at least one."""
    count = max(1, round(fraction * len(scores)))
    return sorted(scores.topk(count).indices.tolist())
