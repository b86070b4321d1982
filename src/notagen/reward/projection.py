"""From an encoder's mean vectors to features that cosines can compare.

Mean vectors of a masked model point nearly all in one direction, and what varies most says least.
As with speaker embeddings, a linear map makes the directions count in which kinds of pieces, and
real and corrupted pieces, differ: whitening, then the discriminative directions (Fisher, 1936).
It takes the place of the projection that CLaMP 2 learns from texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from notagen.reward.bar_patches import BarPatches
from notagen.reward.encoder import MusicEncoder


@torch.no_grad()
def fit(
    encoder: MusicEncoder,
    real: Sequence[BarPatches],
    corrupted: Sequence[BarPatches],
    kinds: Sequence[str],
    shrinkage: float,
) -> None:
    """Set the projection of an encoder, in place.

    Args:
        encoder: trained otherwise.
        real: excerpts of one segment each.
        corrupted: the same excerpts corrupted.
        kinds: of each excerpt.
        shrinkage: how far the covariance is drawn to a multiple of the identity, 0 to 1.
    """
    vectors = torch.cat([encoder.means(real), encoder.means(corrupted)])
    names = [(kind, True) for kind in kinds] + [(kind, False) for kind in kinds]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    groups = torch.tensor([places[name] for name in names])
    weight, bias = discriminative(vectors, groups, encoder.config.feature_size, shrinkage)
    encoder.projection.weight.copy_(weight)
    encoder.projection.bias.copy_(bias)


def discriminative(
    vectors: Tensor, groups: Tensor, size: int, shrinkage: float
) -> tuple[Tensor, Tensor]:
    """The affine map to the ``size`` whitened directions in which groups differ most.

    A group counts as the root of its size.

    Args:
        vectors: float [n, hidden].
        groups: integer [n], from 0 on without gaps.
        size: at most ``hidden``.
        shrinkage: of the covariance.

    Returns:
        weight [size, hidden] and bias [size], float64.
    """
    vectors = vectors.double()
    members = F.one_hot(groups).double()
    counts = members.sum(0)
    shares = counts**0.5 / (counts**0.5).sum()
    means = members.T @ vectors / counts[:, None]
    weights = members @ (shares / counts)
    origin = shares @ means
    around = vectors - origin
    covariance = around.T @ (around * weights[:, None])
    spread = covariance.diagonal().mean()
    covariance = (1 - shrinkage) * covariance
    covariance.diagonal().add_(shrinkage * spread)
    variances, axes = torch.linalg.eigh(covariance)
    whitening = axes * variances**-0.5
    between = shares[:, None] ** 0.5 * (means - origin) @ whitening
    directions = torch.linalg.svd(between, full_matrices=True).Vh[:size]
    weight = directions @ whitening.T
    return weight, -weight @ origin
