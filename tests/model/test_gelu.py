import pytest
import torch
from torch.nn import functional as F

from notagen.model.gpt2 import gelu


@pytest.mark.parametrize("tokens", [3, 300])  # few and many elements are computed differently
def test_values_and_gradients_are_torch_s(tokens):
    torch.manual_seed(0)
    ours = (3 * torch.randn(tokens, 256, dtype=torch.double)).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.randn(tokens, 256, dtype=torch.double)
    y, expected = gelu(ours), F.gelu(theirs, approximate="tanh")
    (y * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


def test_large_values_stay_finite():
    x = torch.tensor([-1e4, -40.0, 0.0, 40.0, 1e4]).repeat(1 << 14).requires_grad_()
    y = gelu(x)
    y.sum().backward()
    torch.testing.assert_close(y[:5], torch.tensor([0.0, 0.0, 0.0, 40.0, 1e4]))
    torch.testing.assert_close(x.grad[:5], torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
