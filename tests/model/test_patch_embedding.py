import numpy as np
import pytest
import torch
from torch.nn import functional as F

from notagen.model.patch_embedding import PatchEmbedding, patch_embedding
from tests.helpers.random_pieces import random_piece


@pytest.mark.parametrize("patch_size", [16, 64])
def test_equals_one_hot_characters_times_a_matrix(patch_size):
    torch.manual_seed(0)
    embedding = PatchEmbedding(32, patch_size)
    patches = torch.randint(0, 128, (7, patch_size), dtype=torch.uint8)
    one_hot = F.one_hot(patches.long(), 128).float().flatten(1)
    torch.testing.assert_close(embedding(patches), one_hot @ embedding.weight + embedding.bias)


def test_machine_code_equals_torch():
    kernels = pytest.importorskip("notagen.model.decoding.kernels")
    torch.manual_seed(0)
    characters, positional = torch.randn(16 * 128, 64), torch.randn(24, 64)
    patches, positions = random_piece(9, seed=1), np.arange(9) + 3
    expected = patch_embedding(characters, patches) + positional[positions]
    found = kernels.embed(characters.numpy(), positional.numpy(), patches.numpy(), positions)
    torch.testing.assert_close(torch.from_numpy(found), expected)
