import torch

from notagen.model import ModelConfig
from notagen.model.notagen import CharDecoder
from tests.helpers.random_pieces import random_piece


def test_dropout_of_inputs_is_shared_by_patches_and_biases_none():
    """A patch among its copies is as likely, on average, as alone."""
    torch.manual_seed(0)
    level = CharDecoder(ModelConfig(1, 1, 64, 8, dropout=0.3)).train()
    torch.nn.init.normal_(level.wte.weight, std=0.5)
    patch = random_piece(2, seed=3)[1:].long()
    vector = torch.randn(1, 64)
    with torch.no_grad():
        alone = torch.stack([level(vector, patch).sum() for _ in range(500)])
        copies = torch.stack(
            [level(vector.expand(8, -1), patch.expand(8, -1)).sum(1) for _ in range(500)]
        )
    error = (alone.var() / 500 + copies.mean(1).var() / 500).sqrt()
    assert abs(alone.mean() - copies.mean()) < 4 * error
    torch.testing.assert_close(copies.var(0).mean(), alone.var(), rtol=0.25, atol=0)
    assert (copies[:, 0] != copies[:, 1]).all(), "the rest of dropout is each patch's own"
