import torch
from torch import Tensor

from notagen.patches import BOS, EOS, PATCH_SIZE


def random_piece(length: int, seed: int) -> Tensor:
    """A bos patch and others that hold 1 to 16 characters, uint8 [length, 16]."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(EOS, 128, (length, PATCH_SIZE), generator=generator)
    true = torch.randint(1, PATCH_SIZE + 1, (length, 1), generator=generator)
    patches[torch.arange(PATCH_SIZE) >= true] = 0
    patches[0] = torch.tensor([BOS] * (PATCH_SIZE - 1) + [EOS])
    return patches.to(torch.uint8)
