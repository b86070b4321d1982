"""Keys and values of the tokens already decoded, in tensors allocated once."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from notagen.model.config import HEAD_SIZE


class KeyValueCache:
    """Room for `length` tokens in each of `rows` sequences, for every layer of one level.

    What lies behind a sequence's end is masked, so forgetting tokens costs nothing.

    Args:
        layers: blocks of the level.
        rows: sequences decoded at once.
        length: the most tokens of a sequence.
        like: a weight [.., hidden] whose width, device and type the cache takes.
    """

    def __init__(self, layers: int, rows: int, length: int, like: Tensor) -> None:
        heads = like.shape[-1] // HEAD_SIZE
        # Keys and values in one tensor, so that a step writes both with one copy. Zeros, since
        # masked tokens still enter products: NaNs in fresh memory would spread.
        self.layers = [like.new_zeros(2, rows, heads, length, HEAD_SIZE) for _ in range(layers)]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows; these are numbered anew from 0."""
        self.layers = [cached[:, rows] for cached in self.layers]

    def extend(self, layer: int, row: int, start: int, qkv: Tensor) -> Tensor:
        """Attend with the tokens of one row from `start` on: [n, 3·hidden] -> [n, hidden]."""
        end = start + len(qkv)
        heads = qkv.view(len(qkv), 3, -1, HEAD_SIZE).permute(1, 2, 0, 3)
        cached = self.layers[layer][:, row]
        cached[:, :, start:end] = heads[1:]
        positions = torch.arange(end, device=qkv.device)
        keys, values = cached[:, None, :, :end]
        attended = F.scaled_dot_product_attention(
            heads[None, 0], keys, values, attn_mask=positions <= positions[start:, None]
        )
        return attended[0].transpose(0, 1).flatten(1)

    def step(self, layer: int, positions: Sequence[int], qkv: Tensor) -> Tensor:
        """Attend with one token a row, each at its position: [rows, 3·hidden] -> [rows, hidden]."""
        end = max(positions) + 1
        heads = qkv.view(len(positions), 3, -1, HEAD_SIZE).transpose(0, 1)
        cached = self.layers[layer]
        mask = None
        if min(positions) + 1 == end:
            cached[:, :, :, end - 1] = heads[1:]
        else:
            last = torch.tensor(positions, device=qkv.device)
            rows = torch.arange(len(positions), device=qkv.device)
            cached[:, rows, :, last] = heads[1:].transpose(0, 1)
            mask = (torch.arange(end, device=qkv.device) <= last[:, None])[:, None, None]
        keys, values = cached[:, :, :, :end]
        attended = F.scaled_dot_product_attention(
            heads[0].unsqueeze(2), keys, values, attn_mask=mask
        )
        return attended.flatten(1)
