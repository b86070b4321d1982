"""Features that cosines can compare: whitened, the directions that tell groups apart first."""

import pytest
import torch
from torch.nn import functional as F

from notagen.reward.projection import discriminative

HIDDEN = 12


@pytest.fixture
def groups():
    return torch.tensor([0] * 400 + [1] * 100 + [2] * 100)


@pytest.fixture
def vectors(groups):
    """Three groups that differ in two quiet directions, beside one that is loud and one shared."""
    torch.manual_seed(0)
    x = torch.randn(len(groups), HIDDEN)
    x[:, 0] *= 50  # loud, and the same in all groups
    x[:, 1] += 200  # common to all
    centres = torch.tensor([[0.3, 0.0], [-0.3, 0.0], [0.0, 0.6]])
    x[:, 2:4] = 0.1 * x[:, 2:4] + centres[groups]
    return x.double()


def apart(features, groups):
    """Mean cosine of members with their own group's mean, less that with the others' means."""
    means = torch.stack([features[groups == g].mean(0) for g in range(3)])
    cosines = F.cosine_similarity(features[:, None], means[None], dim=2)
    own = F.one_hot(groups, 3).bool()
    return float(cosines[own].mean() - cosines[~own].mean())


def test_groups_that_cosines_could_not_tell_apart_are_told(vectors, groups):
    weight, bias = discriminative(vectors, groups, size=2, shrinkage=1e-4)
    assert apart(vectors, groups) < 0.01
    assert apart(vectors @ weight.T + bias, groups) > 1


def test_features_are_whitened_about_the_origin(vectors, groups):
    """With groups of one size, which then count alike, the covariance is the identity."""
    chosen = torch.cat([torch.arange(100), torch.arange(400, 600)])
    vectors, groups = vectors[chosen], groups[chosen]
    weight, bias = discriminative(vectors, groups, size=HIDDEN, shrinkage=0.0)
    features = vectors @ weight.T + bias
    torch.testing.assert_close(features.mean(0), torch.zeros(HIDDEN).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        features.T @ features / len(features), torch.eye(HIDDEN).double(), atol=1e-6, rtol=0
    )


def test_the_first_features_are_the_ones_that_differ(vectors, groups):
    weight, _ = discriminative(vectors, groups, size=HIDDEN, shrinkage=1e-4)
    features = vectors @ weight.T
    spread = torch.stack([features[groups == g].mean(0) for g in range(3)]).std(0)
    assert spread[:2].min() > 5 * spread[2:].max()


def test_one_group_more_than_directions_is_no_obstacle():
    torch.manual_seed(0)
    weight, bias = discriminative(torch.randn(40, 4), torch.arange(40) % 8, size=4, shrinkage=0.1)
    assert weight.shape == (4, 4)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()
