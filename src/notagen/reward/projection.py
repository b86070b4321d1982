"""Linear discriminant projection from an encoder's mean vectors to features for cosines.

The mean vectors of a masked model all point in nearly the same direction, and their largest
variances carry little information. As with speaker embeddings, a linear map emphasises the
directions in which kinds of pieces, and real and corrupted pieces, differ: whitening, then the
discriminative directions (Fisher, 1936). It replaces the projection that CLaMP 2 learns from texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from notagen.errors import UserError
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
    """Fit the projection of an encoder, in place.

    Args:
        encoder: trained but for its projection.
        real: excerpts of one segment each.
        corrupted: a corrupted version of each excerpt.
        kinds: the kind of each excerpt.
        shrinkage: weight of a multiple of the identity in the covariance, 0 to 1.

    Raises:
        UserError: the excerpts' vectors are too few or too equal for so little shrinkage.
    """
    vectors = torch.cat([encoder.means(real), encoder.means(corrupted)])
    names = [(kind, True) for kind in kinds] + [(kind, False) for kind in kinds]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    groups = torch.tensor([numbers[name] for name in names])
    weight, bias = discriminative(vectors, groups, encoder.config.feature_size, shrinkage)
    encoder.projection.weight.copy_(weight)
    encoder.projection.bias.copy_(bias)


def discriminative(
    vectors: Tensor, groups: Tensor, size: int, shrinkage: float
) -> tuple[Tensor, Tensor]:
    """Affine map to the ``size`` whitened directions in which groups differ most.

    The weight of a group is the root of its size.

    Args:
        vectors: float [n, hidden].
        groups: integer [n], the group of each vector, from 0 on without gaps.
        size: number of directions, at most ``hidden``.
        shrinkage: of the covariance, see :func:`fit`.

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
    centred = vectors - origin
    covariance = centred.T @ (centred * weights[:, None])
    spread = covariance.diagonal().mean()
    covariance = (1 - shrinkage) * covariance
    covariance.diagonal().add_(shrinkage * spread)
    variances, axes = torch.linalg.eigh(covariance)
    if not bool(variances[0] > variances[-1] * len(variances) * torch.finfo(variances.dtype).eps):
        raise UserError(
            f"the projection cannot be fitted to {len(vectors)} excerpts with "
            f"shrinkage={shrinkage}; resume=true with stage.module.shrinkage=0.3, or more data"
        )
    whitening = axes * variances**-0.5  # whitening.T @ covariance @ whitening = identity
    between = shares[:, None] ** 0.5 * (means - origin) @ whitening
    directions = torch.linalg.svd(between, full_matrices=True).Vh[:size]
    weight = directions @ whitening.T
    return weight, -weight @ origin
