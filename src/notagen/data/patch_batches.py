"""Batches of about as many patches, for pieces of very different lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from notagen.data.loader import ShuffledBatches


class PatchBatches(ShuffledBatches):
    """Batches of about ``batch_patches`` patches, whatever the number of pieces, for one rank.

    The pieces of an epoch, in its order, are laid end to end and cut at equal distances; a piece
    belongs to the batch in which it starts. So no piece is left out, every epoch has as many
    batches, and a batch is off their mean by less than its longest piece. That mean is at least
    ``batch_patches`` and, with k batches an epoch on each rank, below 1 + 1/k times as much.

    Args:
        sizes: patches of each piece; an estimate will do.
        batch_patches: at least the size of the longest piece.
        seed, rank, world_size: as in :class:`ShuffledBatches`.

    Raises:
        ValueError: a piece is longer than a batch.
    """

    def __init__(
        self, sizes: Sequence[int], batch_patches: int, seed: int, rank: int, world_size: int
    ) -> None:
        if max(sizes) > batch_patches:
            raise ValueError(f"a piece of {max(sizes)} patches, longer than a batch")
        super().__init__(len(sizes), batch_patches, seed, rank, world_size)
        self.sizes = np.asarray(sizes, dtype=np.int64)

    def __len__(self) -> int:
        return int(self.sizes.sum()) // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.pieces)
        ends = self.sizes[order].cumsum()
        batches = len(self) * self.world_size
        batch_of = (ends - self.sizes[order]) * batches // ends[-1]
        bounds = np.searchsorted(batch_of, np.arange(batches + 1))
        start, self.start = self.start, 0
        for number in range(start * self.world_size + self.rank, batches, self.world_size):
            indices = order[bounds[number] : bounds[number + 1]]
            yield [(self.epoch, int(index)) for index in indices]
