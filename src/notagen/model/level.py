"""One level while decoding: its blocks, its last norm, and what it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from notagen.errors import UserError
from notagen.model.blocks import Affine, Blocks, BlockWeights, Linear, affine
from notagen.model.cache import KeyValueCache, Place
from notagen.patches import VOCABULARY

Quantize = Literal["int8"]


class Level:
    """The blocks of one level, computed by torch: on any device, in any precision.

    Args:
        blocks: their weights must not change meanwhile, as little as those of the norm.
        norm: what follows them.
        rows: sequences decoded at once.
        length: the most tokens of a sequence.
    """

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        self.blocks = [BlockWeights(*map(self._held, block.weights())) for block in blocks]
        self.norm = values(affine(norm))
        self.cache = KeyValueCache(len(blocks), rows, length, self.norm.weight)

    def tabulate(self, embedded: Tensor, head: Tensor) -> None:
        """Keep what the first block computes before attention, for :meth:`say_next`.

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
        return self._run(x, qkv, self.cache.place(rows, positions))

    def say(
        self, x: Tensor, rows: Sequence[int], position: int, qkv: Tensor | None = None
    ) -> Tensor:
        """Logits, [n, 128], after one token at the same place of some rows; as in :meth:`step`."""
        return F.linear(self.step(x, rows, [position] * len(rows), qkv), self.head)

    def say_next(self, ids: Tensor | Sequence[int], rows: Sequence[int], position: int) -> Tensor:
        """The same after the tokens with these numbers, [n]."""
        ids = torch.as_tensor(ids, device=self.head.device)
        x, qkv = (table[position].index_select(0, ids) for table in self.tables)
        return self.say(x, rows, position, qkv)

    def _held(self, part: Linear) -> Any:
        """A part of a block as it is computed with."""
        return values(part)

    def _run(self, x: Tensor, qkv: Tensor | None, place: Place) -> Tensor:
        for layer, block in enumerate(self.blocks):
            if layer or qkv is None:
                qkv = block.project(x)
            x = block.finish(x, self.cache.step(layer, place, qkv))
        return F.layer_norm(x, x.shape[-1:], *self.norm)


class GraphLevel(Level):
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
        y = self._compiled(tokens, projected, self.cache.everywhere(places))
        return y.index_select(0, chosen)

    def _compile(self) -> None:
        for cached in self.cache.layers:
            torch._dynamo.mark_static_address(cached)  # written in place by every replay
        self._compiled = torch.compile(self._run, mode="reduce-overhead", dynamic=False)


def kind_of_level(weight: Tensor, quantize: Quantize | None, *, graphs: bool) -> type[Level]:
    """How to compute with weights of this type on their device.

    Args:
        weight: one of them.
        quantize: what matrices are rounded to.
        graphs: whether with CUDA graphs.

    Raises:
        UserError: that is not possible there.
    """
    if quantize not in (None, "int8"):
        raise UserError(f"quantize must be int8 or null, not {quantize}")
    if graphs and not weight.is_cuda:
        raise UserError("graphs=true needs a CUDA device")
    single = weight.device.type == "cpu" and weight.dtype == torch.float32
    if quantize and not (single and find_spec("numba")):
        raise UserError(
            "quantize=int8 needs weights in float32 on a processor, and numba "
            "(pip install notagen[fast])"
        )
    if single and find_spec("numba"):
        from notagen.model.native_level import Int8Level, NativeLevel

        return Int8Level if quantize else NativeLevel
    return GraphLevel if graphs else Level


def values(part: Linear) -> Affine:
    """The same tensors without their gradients."""
    assert isinstance(part, Affine)
    return Affine(part.weight.detach(), part.bias.detach())
