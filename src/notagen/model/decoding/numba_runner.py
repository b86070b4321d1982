"""NumbaRunner: one level while decoding, in machine code; needs numba."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from notagen.model.decoding import kernels
from notagen.model.decoding.kernels import Indices
from notagen.model.decoding.matmul import Array, Matrix
from notagen.model.decoding.runner import LevelRunner
from notagen.model.gpt2 import Affine, Blocks, Linear, detached

_INT8_STEPS = 127


class NumbaRunner(LevelRunner):
    """The same in machine code for few rows: on a processor, in single precision."""

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        super().__init__(blocks, norm, rows, length)
        weights = [tuple(map(_arrays, block)) for block in self.blocks]
        self._weights = [(block[0], block[1], block[2:]) for block in weights]
        self._last_norm = _arrays(self.norm)
        self._cached = [cached.numpy() for cached in self.cache.layers]

    def precompute_first_block(self, embedded: Tensor, head: Tensor) -> None:
        """Keep what the first block computes before attention, for :meth:`next_logits`."""
        super().precompute_first_block(embedded, head)
        no_bias = np.zeros(len(head), np.float32)
        self._head = head.numpy(), no_bias
        self._tables = tuple(table.numpy() for table in self.tables)
        self._positions = np.arange(len(embedded))[:, None].repeat(self._cached[0].shape[1], 1)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows; these are numbered anew from 0."""
        super().keep(rows)
        self._cached = [cached.numpy() for cached in self.cache.layers]

    def embed(
        self, tables: tuple[Tensor, Tensor], patches: Tensor, positions: Sequence[int]
    ) -> Tensor:
        """Patches as tokens: integer [n, 16] -> [n, hidden]."""
        table, places = tables
        tokens = kernels.embed(table.numpy(), places.numpy(), patches.numpy(), np.array(positions))
        return torch.from_numpy(tokens)

    def step(
        self,
        x: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """As torch computes it, but for the last bits."""
        if len(rows) > kernels.MAX_ROWS:
            return super().step(x, rows, positions, qkv)
        places = np.asarray(rows), np.asarray(positions)
        y = self._blocks(x.numpy(), None if qkv is None else qkv.numpy(), *places)
        return torch.from_numpy(kernels.layer_norm(y, *self._last_norm))

    def logits(
        self, x: Tensor, rows: Sequence[int], position: int, qkv: Tensor | None = None
    ) -> Tensor:
        """As torch computes it, but for the last bits."""
        if len(rows) > kernels.MAX_ROWS:
            return super().logits(x, rows, position, qkv)
        return self._logits(x.numpy(), rows, position, None if qkv is None else qkv.numpy())

    def next_logits(
        self, ids: Tensor | Sequence[int], rows: Sequence[int], position: int
    ) -> Tensor:
        """As torch computes it, but for the last bits."""
        if len(rows) > kernels.MAX_ROWS:
            return super().next_logits(ids, rows, position)
        x, qkv = kernels.look_up(self._tables, position, np.asarray(ids))
        return self._logits(x, rows, position, qkv)

    def _logits(self, x: Array, rows: Sequence[int], position: int, qkv: Array | None) -> Tensor:
        positions = self._positions[position, : len(rows)]
        y = self._blocks(x, qkv, np.asarray(rows), positions)
        return torch.from_numpy(kernels.project(y, self._last_norm, self._head))

    def _blocks(self, x: Array, qkv: Array | None, rows: Indices, positions: Indices) -> Array:
        for layer, (ln_1, attn_in, others) in enumerate(self._weights):
            if layer or qkv is None:
                qkv = kernels.project(x, ln_1, attn_in)
            x = kernels.finish(x, qkv, self._cached[layer], rows, positions, others)
        return x


class Int8Runner(NumbaRunner):
    """The same with the matrices of its blocks in eight bits."""

    def _held(self, part: Linear) -> Any:
        exact = detached(part)
        return Int8(exact) if exact.weight.dim() == 2 else exact


def _arrays(part: Linear) -> Matrix:
    if isinstance(part, Int8):
        return part.matrix
    assert isinstance(part, Affine)
    return part.weight.numpy(), part.bias.numpy()


class Int8:
    """A linear layer with one scale for each output; inputs are rounded to 12 bits as they come.

    In single precision a processor spends the time of small batches on reading weights;
    `tests/benchmarks` prints the time and the likelihood it costs.

    Args:
        affine: float32 [out, in] and [out], on a processor; `in` is a multiple of 64.

    Attributes:
        matrix: int8 [out, in], their scales [out], and the bias [out].
    """

    def __init__(self, affine: Affine) -> None:
        scales = affine.weight.abs().amax(1).clamp(min=1e-12) / _INT8_STEPS
        rounded = (affine.weight / scales[:, None]).round().to(torch.int8)
        self.matrix = rounded.numpy(), scales.numpy(), affine.bias.numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """[.., in] -> [.., out]."""
        tokens = x.reshape(-1, x.shape[-1]).numpy()
        return torch.from_numpy(kernels.multiply(tokens, self.matrix)).view(*x.shape[:-1], -1)
