"""Cosine similarity of pieces by their encoder features; the reward (NotaGen, section 3.3)."""

from __future__ import annotations

from math import nan
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F


class Scores(NamedTuple):
    """Cosines of each piece with the references, both [pieces].

    Attributes:
        score: with the mean of the reference features: the reward of CLaMP-DPO.
        closest: with the nearest reference; 1 for a copy.
    """

    score: Tensor
    closest: Tensor


def score(features: Tensor, references: Tensor) -> Scores:
    """Compare features [pieces, d] with those of the real pieces [references, d]."""
    mean = F.cosine_similarity(features, references.mean(dim=0, keepdim=True))
    return Scores(mean, _cosines(features, references).amax(dim=1))


def self_similarity(features: Tensor) -> float:
    """Mean cosine of two different pieces of [pieces, d]; nan if there are fewer than two."""
    pieces = len(features)
    if pieces < 2:
        return nan
    cosines = _cosines(features, features)
    return float((cosines.sum() - cosines.trace()) / (pieces * (pieces - 1)))


def _cosines(features: Tensor, others: Tensor) -> Tensor:
    return F.normalize(features, dim=1) @ F.normalize(others, dim=1).T
