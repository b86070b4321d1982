import numpy as np
import pytest
import torch

from notagen.errors import UserError
from notagen.generation import Sampling
from notagen.generation.sampling import patch_noise


def filtered(probabilities, top_k, top_p, temperature):
    """The filters in plain numpy, one row: top-k, then top-p, then temperature."""
    order = np.argsort(-probabilities)[:top_k]
    kept = probabilities[order] / probabilities[order].sum()
    inside = np.cumsum(kept) - kept < top_p
    scaled = np.where(inside, kept, 0) ** (1 / temperature)
    result = np.zeros_like(probabilities)
    result[order] = scaled / scaled.sum()
    return result


def well_apart(rows):
    """Logits [rows, 128] that are steps of 1/16 in some order."""
    torch.manual_seed(0)
    return torch.stack([torch.randperm(128) / 16 for _ in range(rows)])


@pytest.mark.parametrize("temperature_first", [False, True])
def test_frequencies_are_those_of_either_order(temperature_first):
    torch.manual_seed(0)
    logits = torch.randn(1, 128, dtype=torch.float64) * 2
    if temperature_first:
        expected = filtered((logits / 1.2).softmax(-1)[0].numpy(), 9, 0.9, 1)
    else:
        expected = filtered(logits.softmax(-1)[0].numpy(), 9, 0.9, 1.2)
    uniform = (np.arange(100_000) + 0.5) / 100_000
    sampling = Sampling(temperature_first=temperature_first)
    drawn = sampling.draw(logits.expand(len(uniform), -1), uniform)
    frequencies = np.bincount(drawn, minlength=128) / len(uniform)
    # The published top-p is taken among the top k; so is ours in both orders.
    np.testing.assert_allclose(frequencies, expected, atol=2e-5)


@pytest.mark.parametrize("temperature_first", [False, True])
def test_rows_drawn_together_are_those_drawn_alone(temperature_first):
    sampling = Sampling(temperature_first=temperature_first)
    logits = well_apart(200)
    uniform = np.random.default_rng(0).random(200).tolist()
    alone = [sampling.draw(logits[row, None], uniform[row : row + 1])[0] for row in range(200)]
    assert sampling.draw(logits, uniform) == alone
    assert len(set(alone)) > 50


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(top_k=1),
        Sampling(top_k=128, top_p=1.0, temperature=0.7),
        Sampling(top_k=20, top_p=0.5, temperature_first=True),
    ],
)
def test_has_numba_draws_what_python_draws(sampling, monkeypatch):
    pytest.importorskip("numba")
    logits = well_apart(500)
    logits[:, :64][logits[:, :64] * 16 % 2 == 1] = float("-inf")
    uniform = np.random.default_rng(0).random(500).tolist()
    drawn = sampling.draw(logits, uniform)
    monkeypatch.setattr("notagen.generation.sampling._compiled", lambda: None)
    assert sampling.draw(logits, uniform) == drawn
    assert sampling.draw(logits[:1], uniform[:1]) == drawn[:1]


def test_top_k_of_one_is_greedy():
    logits = well_apart(20)
    greedy = Sampling(top_k=1, top_p=1.0, temperature=1.0)
    uniform = np.random.default_rng(0).random(20)
    assert greedy.draw(logits, uniform) == logits.argmax(-1).tolist()


def test_a_forbidden_id_is_never_drawn():
    logits = torch.full((1000, 128), float("-inf"))
    logits[:, 65] = 0.0
    uniform = np.linspace(0, 1, 1000, endpoint=False)
    assert set(Sampling().draw(logits, uniform)) == {65}
    assert Sampling().draw(logits[:1], [0.9999999]) == [65]


def test_noise_belongs_to_a_place_in_a_piece_and_to_a_try():
    noise = patch_noise(1, 2, 3, 0)
    assert noise == patch_noise(1, 2, 3, 0)
    for other in ((1, 2, 3, 1), (1, 2, 4, 0), (1, 3, 3, 0), (2, 2, 3, 0)):
        assert noise != patch_noise(*other)


@pytest.mark.parametrize(
    "wrong",
    [{"top_k": 0}, {"top_k": 129}, {"top_p": 0.0}, {"temperature": 0.0}, {"align": "on"},
     {"max_resamples": -1}],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match="sampling needs"):
        Sampling(**wrong)
