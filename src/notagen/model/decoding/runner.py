"""LevelRunner: one level of the model while decoding, in torch, with a KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from notagen.model.config import HEAD_SIZE
from notagen.model.gpt2 import Blocks, BlockWeights, Linear, affine, detached
from notagen.patches import VOCABULARY

Quantize = Literal["int8"]


class LevelRunner:
    """The blocks of one level, computed by torch: on any device, in any precision.

    Args:
        blocks: their weights must not change meanwhile, as little as those of the norm.
        norm: what follows them.
        rows: sequences decoded at once.
        length: the most tokens of a sequence.
    """

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        self.blocks = [BlockWeights(*map(self._held, block.weights())) for block in blocks]
        self.norm = detached(affine(norm))
        self.cache = KeyValueCache(len(blocks), rows, length, self.norm.weight)

    def precompute_first_block(self, embedded: Tensor, head: Tensor) -> None:
        """Keep what the first block computes before attention, for :meth:`next_logits`.

        Args:
            embedded: everything that may stand at each position, [positions, 128, hidden].
            head: what makes logits of the tokens, [128, hidden].
        """
        self.head = head
        self.tables = embedded, self.blocks[0].project(embedded)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows; these are numbered anew from 0."""
        self.cache.keep(rows)

    def embed(
        self, tables: tuple[Tensor, Tensor], patches: Tensor, positions: Sequence[int]
    ) -> Tensor:
        """Patches as tokens: integer [n, 16] -> [n, hidden].

        Args:
            tables: what is added for each slot and character, [16·128, hidden], and what for each
                position, [length, hidden].
            patches: padded after their ends.
            positions: where each stands, [n].
        """
        table, places = tables
        slots = torch.arange(0, len(table), VOCABULARY, device=table.device)
        chosen = torch.tensor(positions, device=table.device)
        characters = F.embedding_bag(patches.to(slots) + slots, table, mode="sum")
        return characters + places.index_select(0, chosen)

    def prefill(self, x: Tensor, row: int, start: int) -> Tensor:
        """The tokens of one row from `start` on: [n, hidden], twice."""
        for layer, block in enumerate(self.blocks):
            x = block.finish(x, self.cache.extend(layer, row, start, block.project(x)))
        return F.layer_norm(x, x.shape[-1:], *self.norm)

    def step(
        self,
        x: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """One token in each of some rows: [n, hidden], twice.

        Args:
            x: the tokens.
            rows: of each of them, ascending.
            positions: where each stands in its row.
            qkv: what the first block projects them to, [n, 3·hidden], if it is known already.
        """
        return self._run(x, qkv, self.cache.position(rows, positions))

    def logits(
        self, x: Tensor, rows: Sequence[int], position: int, qkv: Tensor | None = None
    ) -> Tensor:
        """Logits, [n, 128], after one token at the same place of some rows; as in :meth:`step`."""
        return F.linear(self.step(x, rows, [position] * len(rows), qkv), self.head)

    def next_logits(
        self, ids: Tensor | Sequence[int], rows: Sequence[int], position: int
    ) -> Tensor:
        """The same after the tokens with these numbers, [n]."""
        ids = torch.as_tensor(ids, device=self.head.device)
        x, qkv = (table[position].index_select(0, ids) for table in self.tables)
        return self.logits(x, rows, position, qkv)

    def _held(self, part: Linear) -> Any:
        """A part of a block as it is computed with."""
        return detached(part)

    def _run(self, x: Tensor, qkv: Tensor | None, position: CachePosition) -> Tensor:
        for layer, block in enumerate(self.blocks):
            if layer or qkv is None:
                qkv = block.project(x)
            x = block.finish(x, self.cache.step(layer, position, qkv))
        return F.layer_norm(x, x.shape[-1:], *self.norm)


class CudaGraphRunner(LevelRunner):
    """The same as one CUDA graph a step, so that nothing waits for Python between its kernels.

    Every step has the same shapes: all rows, whether they go on or not, and all places, masked.

    Written after the documentation of torch 2.13; checked without graphs, not yet run on a GPU.
    """

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        super().__init__(blocks, norm, rows, length)
        self._compile()

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows; these are numbered anew from 0."""
        super().keep(rows)
        self._compile()

    def step(
        self,
        x: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """What rows that do not go on leave in the cache, later steps write over or mask."""
        every = self.cache.layers[0].shape[1]
        places = [0] * every
        for row, position in zip(rows, positions, strict=True):
            places[row] = position
        chosen = torch.tensor(rows, device=x.device)
        tokens, projected = (
            given.new_zeros(every, given.shape[1]).index_copy(0, chosen, given)
            for given in (x, self.blocks[0].project(x) if qkv is None else qkv)
        )
        y = self._compiled(tokens, projected, self.cache.static_position(places))
        return y.index_select(0, chosen)

    def _compile(self) -> None:
        for cached in self.cache.layers:
            torch._dynamo.mark_static_address(cached)  # written in place by every replay
        self._compiled = torch.compile(self._run, mode="reduce-overhead", dynamic=False)


class CachePosition(NamedTuple):
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

    def position(self, rows: Sequence[int], positions: Sequence[int]) -> CachePosition:
        """Where one new token in each of some rows stands."""
        end, device = max(positions) + 1, self.layers[0].device
        alike = min(positions) + 1 == end
        if alike and len(rows) == self.layers[0].shape[1]:
            return CachePosition(end)
        chosen = torch.tensor(rows, device=device)
        if alike:
            return CachePosition(end, chosen)
        last = torch.tensor(positions, device=device)
        mask = torch.arange(end, device=device) <= last[:, None]
        return CachePosition(end, chosen, last, mask[:, None, None])

    def static_position(self, positions: Sequence[int]) -> CachePosition:
        """The same for all rows, in tensors whose shapes are always the same."""
        rows, length = self.layers[0].shape[1], self.layers[0].shape[3]
        places = torch.arange(max(rows, length), device=self.layers[0].device)
        last = torch.tensor(positions, device=places.device)
        mask = places[:length] <= last[:, None]
        return CachePosition(length, places[:rows], last, mask[:, None, None])

    def step(self, layer: int, position: CachePosition, qkv: Tensor) -> Tensor:
        """Attend with one token in each of some rows: [n, 3·hidden] -> [n, hidden]."""
        heads = qkv.view(len(qkv), 3, -1, HEAD_SIZE).transpose(0, 1)
        cached, rows = self.layers[layer], slice(None) if position.rows is None else position.rows
        if position.last is None:
            cached[:, rows, :, position.end - 1] = heads[1:]
        else:
            cached[:, rows, :, position.last] = heads[1:].transpose(0, 1)
        keys, values = cached[:, rows, :, : position.end]
        attended = F.scaled_dot_product_attention(
            heads[0].unsqueeze(2), keys, values, attn_mask=position.mask
        )
        return attended.flatten(1)
