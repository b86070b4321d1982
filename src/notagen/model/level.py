"""One level while decoding: its blocks, its last norm, and what it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from notagen.errors import UserError
from notagen.model.blocks import Affine, Blocks, BlockWeights, Linear, affine
from notagen.model.cache import KeyValueCache, Place
from notagen.model.int8 import Int8

Array = npt.NDArray[np.float32]
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
        self.blocks = [BlockWeights(*map(_values, block.weights())) for block in blocks]
        self.norm = _values(affine(norm))
        self.cache = KeyValueCache(len(blocks), rows, length, self.norm.weight)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows; these are numbered anew from 0."""
        self.cache.keep(rows)

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

    def multiply(self, x: Tensor, matrix: Tensor) -> Tensor:
        """[n, in] times [out, in] -> [n, out]."""
        return F.linear(x, matrix)

    def _run(self, x: Tensor, qkv: Tensor | None, place: Place) -> Tensor:
        for layer, block in enumerate(self.blocks):
            if layer or qkv is None:
                qkv = block.project(x)
            x = block.finish(x, self.cache.step(layer, place, qkv))
        return F.layer_norm(x, x.shape[-1:], *self.norm)


class Int8Level(Level):
    """The same with matrices in eight bits, on a processor."""

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        super().__init__(blocks, norm, rows, length)
        self.blocks = [
            block._replace(
                attn_in=_rounded(block.attn_in),
                attn_out=_rounded(block.attn_out),
                mlp_in=_rounded(block.mlp_in),
                mlp_out=_rounded(block.mlp_out),
            )
            for block in self.blocks
        ]


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


class NativeLevel(Level):
    """The same in machine code for few rows: on a processor, in single precision."""

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        from notagen.model import native

        super().__init__(blocks, norm, rows, length)
        self._native = native
        weights = [tuple(map(_arrays, block)) for block in self.blocks]
        self._weights = [(block[0], block[1], block[2:]) for block in weights]
        self._last_norm = _arrays(self.norm)
        self._cached = [cached.numpy() for cached in self.cache.layers]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows; these are numbered anew from 0."""
        super().keep(rows)
        self._cached = [cached.numpy() for cached in self.cache.layers]

    def step(
        self,
        x: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """As torch computes it, but for the last bits."""
        if len(rows) > self._native.MOST_ROWS:
            return super().step(x, rows, positions, qkv)
        places = np.array(rows), np.array(positions)
        token = x.numpy()
        projected = None if qkv is None else qkv.numpy()
        for layer, (ln_1, attn_in, others) in enumerate(self._weights):
            if layer or projected is None:
                projected = self._native.project(token, ln_1, attn_in)
            cached = self._cached[layer]
            token = self._native.finish(token, projected, cached, *places, others)
        return torch.from_numpy(self._native.layer_norm(token, *self._last_norm))

    def multiply(self, x: Tensor, matrix: Tensor) -> Tensor:
        """As torch computes it, but for the last bits."""
        if len(x) > self._native.MOST_ROWS:
            return super().multiply(x, matrix)
        no_bias = np.zeros(len(matrix), np.float32)
        return torch.from_numpy(self._native.linear(x.numpy(), matrix.numpy(), no_bias))


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
    if quantize and not single:
        raise UserError("quantize=int8 needs weights in float32 on a processor")
    if quantize:
        return Int8Level
    if graphs:
        return GraphLevel
    return NativeLevel if single and find_spec("numba") else Level


def _values(part: Linear) -> Affine:
    assert isinstance(part, Affine)
    return Affine(part.weight.detach(), part.bias.detach())


def _rounded(part: Linear) -> Linear:
    assert isinstance(part, Affine)
    return Int8(part)


def _arrays(part: Linear) -> tuple[Array, Array]:
    assert isinstance(part, Affine)
    return part.weight.numpy(), part.bias.numpy()
