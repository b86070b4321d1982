import numpy as np
import pytest

kernels = pytest.importorskip("notagen.model.decoding.kernels")

ROWS, COLUMNS = 130, 1664  # more than are read at once, and not a multiple of it


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("tokens", [1, 2, 4, 5, 8, 9, 17])
def test_every_number_of_tokens_in_floats(rng, tokens):
    x, weight = (rng.standard_normal((n, COLUMNS), np.float32) for n in (tokens, ROWS))
    bias = rng.standard_normal(ROWS, np.float32)
    expected = x.astype(np.float64) @ weight.T + bias
    np.testing.assert_allclose(kernels.multiply(x, (weight, bias)), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("tokens", [1, 2, 4, 5, 8, 9, 17])
def test_every_number_of_tokens_in_eight_bits(rng, tokens):
    """Inputs that are whole steps, up to the largest sums there can be, are not rounded."""
    x = rng.integers(-2047, 2048, (tokens, COLUMNS))
    x[:, 0] = 2047
    weight = rng.integers(-127, 128, (ROWS, COLUMNS))
    x[0], weight[0] = 2047, 127
    scales, bias = (rng.random(ROWS, np.float32) for _ in range(2))
    expected = (x @ weight.T) * scales.astype(np.float64) + bias
    found = kernels.multiply(x.astype(np.float32), (weight.astype(np.int8), scales, bias))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-2)
