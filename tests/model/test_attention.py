import torch

from notagen.model.gpt2 import PackedAttention

CPU = torch.device("cpu")


def test_attention_that_drops_nothing_is_attention_without_dropout():
    """Its own code, a block of queries at a time; so small a rate is rounded to none."""
    torch.manual_seed(0)
    lengths = [300, 128, 5, 5, 1]
    found = []
    qkv = torch.randn(sum(lengths), 3 * 128, dtype=torch.double, requires_grad=True)
    weights = torch.randn(sum(lengths), 128, dtype=torch.double)
    for p in (0.0, 1e-9):
        attended = PackedAttention(lengths, p, CPU)(qkv)
        (gradient,) = torch.autograd.grad((attended * weights).sum(), qkv)
        found.append((attended, gradient))
    torch.testing.assert_close(*found)


def test_dropout_keeps_the_mean():
    torch.manual_seed(0)
    qkv = torch.randn(150, 3 * 64)
    expected = PackedAttention([150], 0.0, CPU)(qkv)
    dropped = torch.stack([PackedAttention([150], 0.2, CPU)(qkv) for _ in range(400)])
    error = (dropped.mean(0) - expected) / (dropped.std(0) / 20 + 1e-6)
    assert dropped[:, 0].unique().numel() > 64  # the only weight of the first token goes too
    assert error.square().mean().sqrt().item() < 1.2
