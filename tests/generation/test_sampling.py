import numpy as np
import pytest
import torch

from notagen.generation import Sampling
from notagen.generation.sampling import patch_noise


def published_order(probabilities, top_k, top_p, temperature):
    """The filters in plain numpy, one row: top-k, then top-p, then temperature."""
    order = np.argsort(-probabilities)[:top_k]
    kept = probabilities[order] / probabilities[order].sum()
    inside = np.cumsum(kept) - kept < top_p
    scaled = np.where(inside, kept, 0) ** (1 / temperature)
    result = np.zeros_like(probabilities)
    result[order] = scaled / scaled.sum()
    return result


def test_frequencies_are_those_of_the_published_order():
    torch.manual_seed(0)
    logits = torch.randn(1, 128, dtype=torch.float64) * 2
    expected = published_order(logits.softmax(-1)[0].numpy(), 9, 0.9, 1.2)
    uniform = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = Sampling().draw(logits.expand(len(uniform), -1), uniform)
    frequencies = np.bincount(drawn.numpy(), minlength=128) / len(uniform)
    np.testing.assert_allclose(frequencies, expected, atol=2e-5)


def test_top_k_of_one_is_greedy():
    logits = torch.randn(20, 128)
    greedy = Sampling(top_k=1, top_p=1.0, temperature=1.0)
    assert torch.equal(greedy.draw(logits, torch.rand(20)), logits.argmax(-1))


def test_a_forbidden_id_is_never_drawn():
    logits = torch.full((1000, 128), float("-inf"))
    logits[:, 65] = 0.0
    assert set(Sampling().draw(logits, torch.rand(1000)).tolist()) == {65}
    assert Sampling().draw(logits[:1], torch.tensor([0.9999999])).item() == 65


def test_noise_belongs_to_a_place_in_a_piece():
    assert np.array_equal(patch_noise(1, 2, 3), patch_noise(1, 2, 3))
    assert not np.array_equal(patch_noise(1, 2, 3), patch_noise(1, 2, 4))
    assert not np.array_equal(patch_noise(1, 2, 3), patch_noise(1, 3, 3))


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"top_p": 0.0}, {"temperature": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="sampling needs"):
        Sampling(**wrong)
