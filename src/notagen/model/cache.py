"""Keys and values of the tokens already decoded, in tensors allocated once."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from notagen.model.config import HEAD_SIZE


class Place(NamedTuple):
    """Where the new token of each row stands, the same for all layers of a step.

    Attributes:
        end: so many tokens are looked at.
        rows: which rows have one, long [n]; None for all.
        last: where each stands, long [n]; None where that is `end - 1` for all.
        mask: what each may look at, bool [n, 1, 1, end]; None for everything.
    """

    end: int
    rows: Tensor | None = None
    last: Tensor | None = None
    mask: Tensor | None = None


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

    def place(self, rows: Sequence[int], positions: Sequence[int]) -> Place:
        """Where one new token in each of some rows stands."""
        end, device = max(positions) + 1, self.layers[0].device
        alike = min(positions) + 1 == end
        if alike and len(rows) == self.layers[0].shape[1]:
            return Place(end)
        chosen = torch.tensor(rows, device=device)
        if alike:
            return Place(end, chosen)
        last = torch.tensor(positions, device=device)
        mask = torch.arange(end, device=device) <= last[:, None]
        return Place(end, chosen, last, mask[:, None, None])

    def everywhere(self, positions: Sequence[int]) -> Place:
        """The same for all rows, in tensors whose shapes are always the same."""
        rows, length = self.layers[0].shape[1], self.layers[0].shape[3]
        places = torch.arange(max(rows, length), device=self.layers[0].device)
        last = torch.tensor(positions, device=places.device)
        mask = places[:length] <= last[:, None]
        return Place(length, places[:rows], last, mask[:, None, None])

    def step(self, layer: int, place: Place, qkv: Tensor) -> Tensor:
        """Attend with one token in each of some rows: [n, 3·hidden] -> [n, hidden]."""
        heads = qkv.view(len(qkv), 3, -1, HEAD_SIZE).transpose(0, 1)
        cached, rows = self.layers[layer], slice(None) if place.rows is None else place.rows
        if place.last is None:
            cached[:, rows, :, place.end - 1] = heads[1:]
        else:
            cached[:, rows, :, place.last] = heads[1:].transpose(0, 1)
        keys, values = cached[:, rows, :, : place.end]
        attended = F.scaled_dot_product_attention(
            heads[0].unsqueeze(2), keys, values, attn_mask=place.mask
        )
        return attended.flatten(1)
