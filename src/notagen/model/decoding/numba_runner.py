"""NumbaRunner: the blocks of one level while decoding, in machine code; needs numba.

Shapes as in `runner`: n = tokens of one call, P = positions, V = 128 ids, D = hidden size.
"""

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
    """LevelRunner whose `step`, `logits` and `next_logits` are machine code, for up to 32 rows.

    On a CPU, in float32; results differ from torch's in the last bits. It works on the tensors of
    LevelRunner as numpy arrays in the same memory. Torch does `prefill`, and more rows.
    """

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        super().__init__(blocks, norm, rows, length)
        weights = [tuple(map(_arrays, block)) for block in self.blocks]
        # ln_1, attn_in, and what `kernels.finish` takes in one call
        self._weights = [(block[0], block[1], block[2:]) for block in weights]
        self._last_norm = _arrays(self.norm)
        self._cached = [cached.numpy() for cached in self.cache.layers]

    def precompute_first_block(self, embedded_SVD: Tensor, head_VD: Tensor) -> None:
        """Tabulate the first block's projection of every input, for :meth:`next_logits`."""
        super().precompute_first_block(embedded_SVD, head_VD)
        no_bias = np.zeros(len(head_VD), np.float32)
        self._head = head_VD.numpy(), no_bias
        self._tables = tuple(table.numpy() for table in self.tables)
        # Each position once for every row: a call slices instead of making an array.
        self._positions = np.arange(len(embedded_SVD))[:, None].repeat(self._cached[0].shape[1], 1)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, which are renumbered from 0."""
        super().keep(rows)
        self._cached = [cached.numpy() for cached in self.cache.layers]

    def embed(
        self, tables: tuple[Tensor, Tensor], patches_nS: Tensor, positions: Sequence[int]
    ) -> Tensor:
        """Embed integer patches: [n, 16] -> [n, D]."""
        characters, positional = (table.numpy() for table in tables)
        x_nD = kernels.embed(characters, positional, patches_nS.numpy(), np.array(positions))
        return torch.from_numpy(x_nD)

    def step(
        self,
        x_nD: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """Run one token in each of n rows: [n, D] -> [n, D]."""
        if len(rows) > kernels.MAX_ROWS:
            return super().step(x_nD, rows, positions, qkv)
        projected = None if qkv is None else qkv.numpy()
        y_nD = self._blocks(x_nD.numpy(), projected, np.asarray(rows), np.asarray(positions))
        return torch.from_numpy(kernels.layer_norm(y_nD, *self._last_norm))

    def logits(
        self, x_nD: Tensor, rows: Sequence[int], position: int, qkv: Tensor | None = None
    ) -> Tensor:
        """Logits [n, V] after one token at the same position in each of n rows."""
        if len(rows) > kernels.MAX_ROWS:
            return super().logits(x_nD, rows, position, qkv)
        return self._logits(x_nD.numpy(), rows, position, None if qkv is None else qkv.numpy())

    def next_logits(
        self, ids: Tensor | Sequence[int], rows: Sequence[int], position: int
    ) -> Tensor:
        """Logits [n, V] after appending character ids [n]."""
        if len(rows) > kernels.MAX_ROWS:
            return super().next_logits(ids, rows, position)
        x_nD, qkv = kernels.look_up(self._tables, position, np.asarray(ids))
        return self._logits(x_nD, rows, position, qkv)

    def _logits(self, x_nD: Array, rows: Sequence[int], position: int, qkv: Array | None) -> Tensor:
        positions = self._positions[position, : len(rows)]
        y_nD = self._blocks(x_nD, qkv, np.asarray(rows), positions)
        return torch.from_numpy(kernels.project(y_nD, self._last_norm, self._head))

    def _blocks(self, x_nD: Array, qkv: Array | None, rows: Indices, positions: Indices) -> Array:
        for layer, (ln_1, attn_in, others) in enumerate(self._weights):
            if layer or qkv is None:
                qkv = kernels.project(x_nD, ln_1, attn_in)
            x_nD = kernels.finish(x_nD, qkv, self._cached[layer], rows, positions, others)
        return x_nD


class Int8Runner(NumbaRunner):
    """NumbaRunner with the matrices of the blocks in int8; norms and the head stay float32."""

    def _converted(self, part: Linear) -> Any:
        exact = detached(part)
        return Int8Linear(exact) if exact.weight.dim() == 2 else exact


def _arrays(part: Linear) -> Matrix:
    if isinstance(part, Int8Linear):
        return part.matrix
    assert isinstance(part, Affine)
    return part.weight.numpy(), part.bias.numpy()


class Int8Linear:
    """Linear layer in int8, one scale per output; inputs are rounded to 12 bits at each call.

    In float32 small batches spend their time on reading weights; `tests/benchmarks` prints the
    time that this saves and the likelihood that it costs.

    Args:
        affine: float32 [out, in] and [out], on a CPU; `in` is a multiple of 64.

    Attributes:
        matrix: int8 [out, in], scales [out], and bias [out].
    """

    def __init__(self, affine: Affine) -> None:
        scales = affine.weight.abs().amax(1).clamp(min=1e-12) / _INT8_STEPS
        rounded = (affine.weight / scales[:, None]).round().to(torch.int8)
        self.matrix = rounded.numpy(), scales.numpy(), affine.bias.numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it: [.., in] -> [.., out]."""
        tokens = x.reshape(-1, x.shape[-1]).numpy()
        return torch.from_numpy(kernels.multiply(tokens, self.matrix)).view(*x.shape[:-1], -1)
