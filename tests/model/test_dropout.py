import pytest
import torch

from notagen.model.gpt2 import dropout


def test_the_rate_and_the_mean_are_right():
    torch.manual_seed(0)
    dropped = dropout(torch.ones(1000, 999), 0.1)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=1e-3)
    assert dropped.mean().item() == pytest.approx(1.0, abs=2e-3)


def test_every_position_is_dropped_as_often():
    """Four elements share a random number; none of the four is favoured."""
    torch.manual_seed(0)
    rates = (dropout(torch.ones(400_000), 0.3) == 0).view(-1, 4).float().mean(0)
    assert rates.tolist() == pytest.approx([0.3] * 4, abs=5e-3)


def test_what_is_dropped_gets_no_gradient():
    x = torch.ones(50, 50, requires_grad=True)
    y = dropout(x, 0.5)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_none_is_free():
    x = torch.ones(3)
    assert dropout(x, 0.0) is x
