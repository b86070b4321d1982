import pytest
import torch

from notagen.reward.similarity import score, self_similarity


def test_cosines_with_the_mean_and_with_the_nearest():
    real = torch.tensor([[2.0, 0.0], [0.0, 1.0]])  # their mean is [1, 0.5]
    written = torch.tensor([[1.0, 0.0], [3.0, 4.0], [-2.0, -1.0]])
    found = score(written, real)
    assert found.score.tolist() == pytest.approx([1 / 1.25**0.5, 1 / 1.25**0.5, -1])
    assert found.closest.tolist() == pytest.approx([1.0, 0.8, -1 / 5**0.5])


def test_self_similarity_leaves_each_piece_itself_out():
    assert self_similarity(torch.tensor([[1.0, 0], [0, 2.0]])) == pytest.approx(0)
    three = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0]])
    assert self_similarity(three) == pytest.approx(1 / 3)  # of three pairs, one is alike
