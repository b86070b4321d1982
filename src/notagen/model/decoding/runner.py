"""LevelRunner: the blocks of one level while decoding, in torch, with a key-value cache.

Shapes, also as suffixes of variables: B = rows of the cache, n = tokens or rows of one call,
P = positions of the cache, K = cached positions that a call attends to, S = slots of a patch,
V = 128 character ids, H = heads, E = 64 per head, D = H·E, the hidden size. A token is a patch at
the patch level and a character at the char level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from notagen.model.config import HEAD_SIZE
from notagen.model.gpt2 import Blocks, BlockWeights, Linear, affine, detached, split_heads
from notagen.model.patch_embedding import patch_embedding

Quantize = Literal["int8"]


class LevelRunner:
    """The blocks of one level and their cache, in torch: on any device, in any precision.

    The decoder has a runner for each level and calls

    * at the patch level ``embed``, then ``prefill`` for a prompt or ``step`` for one patch per row;
    * at the char level ``precompute_first_block`` once, then ``logits`` for the first character of
      each patch and ``next_logits`` for the others;
    * at both ``keep``, when pieces have ended.

    A subclass must implement ``step``, on which ``logits`` and ``next_logits`` rest; it inherits
    everything else, and overrides it only where that is faster. ``cache`` is the only state; a
    subclass that keeps views of it updates them in ``keep``. ``_converted`` determines how
    matrices are stored.

    Args:
        blocks: of the level; their weights must not change while the runner is in use.
        norm: the layer norm after them; likewise.
        rows: B.
        length: P, the maximum number of tokens in a row.
    """

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        self.blocks = [BlockWeights(*map(self._converted, block.weights())) for block in blocks]
        self.norm = detached(affine(norm))
        self.cache = KeyValueCache(len(blocks), rows, length, self.norm.weight)

    def precompute_first_block(self, embedded_SVD: Tensor, head_VD: Tensor) -> None:
        """Tabulate the first block's projection of every input, for :meth:`next_logits`.

        Args:
            embedded_SVD: the embedding of every character at every position.
            head_VD: the output head.
        """
        self.head_VD = head_VD
        self.tables = embedded_SVD, self.blocks[0].project(embedded_SVD)  # [S, V, D], [S, V, 3·D]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, which are renumbered from 0."""
        self.cache.keep(rows)

    def embed(
        self, tables: tuple[Tensor, Tensor], patches_nS: Tensor, positions: Sequence[int]
    ) -> Tensor:
        """Embed integer patches: [n, 16] -> [n, D].

        Args:
            tables: of (slot, character), [16·V, D], and of positions, [P, D].
            patches_nS: padded after their ends.
            positions: of each patch in its piece, [n].
        """
        characters, positional = tables
        chosen = torch.tensor(positions, device=characters.device)
        return patch_embedding(characters, patches_nS) + positional.index_select(0, chosen)

    def prefill(self, x_nD: Tensor, row: int, start: int) -> Tensor:
        """Run the next n tokens of one row, from position `start` on: [n, D] -> [n, D]."""
        for layer, block in enumerate(self.blocks):
            attended = self.cache.extend(layer, row, start, block.project(x_nD))
            x_nD = block.finish(x_nD, attended)
        return F.layer_norm(x_nD, x_nD.shape[-1:], *self.norm)

    def step(
        self,
        x_nD: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """Run one token in each of n rows: [n, D] -> [n, D].

        Args:
            x_nD: the tokens.
            rows: the row of each, ascending.
            positions: of each in its row.
            qkv: the first block's projection of them, [n, 3·D], if it is known already.
        """
        return self._run(x_nD, qkv, self.cache.position(rows, positions))

    def logits(
        self, x_nD: Tensor, rows: Sequence[int], position: int, qkv: Tensor | None = None
    ) -> Tensor:
        """Logits [n, V] after one token at one position in each of n rows, as :meth:`step`."""
        return F.linear(self.step(x_nD, rows, [position] * len(rows), qkv), self.head_VD)

    def next_logits(
        self, ids: Tensor | Sequence[int], rows: Sequence[int], position: int
    ) -> Tensor:
        """Logits [n, V] after appending character ids [n]."""
        ids = torch.as_tensor(ids, device=self.head_VD.device)
        x_nD, qkv = (table[position].index_select(0, ids) for table in self.tables)
        return self.logits(x_nD, rows, position, qkv)

    def _converted(self, part: Linear) -> Any:
        """A linear layer or norm of a block in the form that is computed with."""
        return detached(part)

    def _run(self, x_nD: Tensor, qkv: Tensor | None, position: CachePosition) -> Tensor:
        for layer, block in enumerate(self.blocks):
            if layer or qkv is None:
                qkv = block.project(x_nD)
            x_nD = block.finish(x_nD, self.cache.step(layer, position, qkv))
        return F.layer_norm(x_nD, x_nD.shape[-1:], *self.norm)


class CudaGraphRunner(LevelRunner):
    """LevelRunner with each step as one CUDA graph; untested on a GPU, tested without graphs.

    A graph replays fixed shapes, so every step computes all rows, also those that need none, and
    attends to all positions, masked.
    """

    def __init__(self, blocks: Blocks, norm: nn.LayerNorm, rows: int, length: int) -> None:
        super().__init__(blocks, norm, rows, length)
        self._compile()

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, and compile for the new number of rows."""
        super().keep(rows)
        self._compile()

    def step(
        self,
        x_nD: Tensor,
        rows: Sequence[int],
        positions: Sequence[int],
        qkv: Tensor | None = None,
    ) -> Tensor:
        """Run one token in each of n rows, padded to all rows: [n, D] -> [n, D]."""
        n_rows = self.cache.layers[0].shape[1]
        # The other rows write keys and values of zeros at position 0. Only the char level leaves
        # out rows, those whose patch has ended: their next patch overwrites position 0 first.
        every = [0] * n_rows
        for row, position in zip(rows, positions, strict=True):
            every[row] = position
        chosen = torch.tensor(rows, device=x_nD.device)
        tokens, projected = (
            given.new_zeros(n_rows, given.shape[1]).index_copy(0, chosen, given)
            for given in (x_nD, self.blocks[0].project(x_nD) if qkv is None else qkv)
        )
        y = self._compiled(tokens, projected, self.cache.static_position(every))
        return y.index_select(0, chosen)

    def _compile(self) -> None:
        for cached in self.cache.layers:
            torch._dynamo.mark_static_address(cached)  # written in place by every replay
        self._compiled = torch.compile(self._run, mode="reduce-overhead", dynamic=False)


class CachePosition(NamedTuple):
    """Rows and positions of one step's new tokens, shared by all layers.

    Attributes:
        end: K, the number of cached positions that are read.
        rows: row of each token, long [n]; None for all rows.
        last: position of each token, long [n]; None if all are at `end - 1`.
        mask: positions that each token attends to, bool [n, 1, 1, K]; None for all.
    """

    end: int
    rows: Tensor | None = None
    last: Tensor | None = None
    mask: Tensor | None = None


class KeyValueCache:
    """Keys and values of every layer of one level: a list of [2, B, H, P, E].

    Positions after a row's last token are masked, so rewinding costs nothing.

    Args:
        layers: number of blocks.
        rows: B.
        length: P.
        like: a weight [.., D], for width, device and type.
    """

    def __init__(self, layers: int, rows: int, length: int, like: Tensor) -> None:
        heads = like.shape[-1] // HEAD_SIZE
        # Keys and values in one tensor, so that a step writes both with one copy. Zeros, since
        # masked positions are still multiplied: NaN in fresh memory would spread.
        self.layers = [like.new_zeros(2, rows, heads, length, HEAD_SIZE) for _ in range(layers)]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, which are renumbered from 0."""
        self.layers = [cached[:, rows] for cached in self.layers]

    def extend(self, layer: int, row: int, start: int, qkv: Tensor) -> Tensor:
        """Cache n tokens of one row, from `start` on, and attend: [n, 3·D] -> [n, D]."""
        end = start + len(qkv)
        qkv_3HnE = split_heads(qkv).permute(1, 2, 0, 3)
        cached_2HPE = self.layers[layer][:, row]
        cached_2HPE[:, :, start:end] = qkv_3HnE[1:]
        positions = torch.arange(end, device=qkv.device)
        keys, values = cached_2HPE[:, None, :, :end]
        # Not `is_causal`: with more keys than queries torch would align the mask at the top left.
        attended_1HnE = F.scaled_dot_product_attention(
            qkv_3HnE[None, 0], keys, values, attn_mask=positions <= positions[start:, None]
        )
        return attended_1HnE[0].transpose(0, 1).flatten(1)

    def position(self, rows: Sequence[int], positions: Sequence[int]) -> CachePosition:
        """Position of one new token in each of some rows, with as few tensors as will do."""
        end, device = max(positions) + 1, self.layers[0].device
        aligned = min(positions) + 1 == end
        if aligned and len(rows) == self.layers[0].shape[1]:
            return CachePosition(end)
        chosen = torch.tensor(rows, device=device)
        if aligned:
            return CachePosition(end, chosen)
        last = torch.tensor(positions, device=device)
        mask = torch.arange(end, device=device) <= last[:, None]
        return CachePosition(end, chosen, last, mask[:, None, None])

    def static_position(self, positions: Sequence[int]) -> CachePosition:
        """Position of one new token in every row, in tensors of fixed shape, for CUDA graphs."""
        rows, length = self.layers[0].shape[1], self.layers[0].shape[3]
        numbers = torch.arange(max(rows, length), device=self.layers[0].device)
        last = torch.tensor(positions, device=numbers.device)
        mask = numbers[:length] <= last[:, None]
        return CachePosition(length, numbers[:rows], last, mask[:, None, None])

    def step(self, layer: int, position: CachePosition, qkv: Tensor) -> Tensor:
        """Cache one token in each of n rows and attend: [n, 3·D] -> [n, D]."""
        qkv_3nHE = split_heads(qkv).transpose(0, 1)
        cached = self.layers[layer]
        rows = slice(None) if position.rows is None else position.rows
        if position.last is None:
            cached[:, rows, :, position.end - 1] = qkv_3nHE[1:]
        else:
            # Two index tensors apart from each other: torch moves their dimension to the front.
            cached[:, rows, :, position.last] = qkv_3nHE[1:].transpose(0, 1)
        keys, values = cached[:, rows, :, : position.end]
        attended_nH1E = F.scaled_dot_product_attention(
            qkv_3nHE[0].unsqueeze(2), keys, values, attn_mask=position.mask
        )
        return attended_nH1E.flatten(1)
