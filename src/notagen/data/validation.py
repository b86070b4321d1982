"""Validation batches: a fixed subset of the pieces, the same for any number of ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch.utils.data
from datasets import Dataset
from torch.utils.data import DataLoader

from notagen.data.batches import Batch, cut, pack
from notagen.data.pieces import collection_of, column, estimated_patches
from notagen.patches import Patches

_BATCH_PATCHES: Final = 4096  # of a batch: what a GPU needs to be busy, without gradients


class FixedBatches(torch.utils.data.Dataset[Batch]):
    """Batches of pieces in their order, for one rank; packed when first asked for, then kept.

    They do not depend on the number of ranks: batch b goes to rank b modulo ``world_size``. A rank
    that is one short gets the first one again, not to be counted, since ranks must run in step.

    Args:
        pieces: [n_i, width] each.
        collections: the name of each piece's collection.
        sizes: patches of each piece; estimates suffice.
        batch_patches: of a batch, about; at least the size of the longest piece.
        rank, world_size: of the ranks.
    """

    def __init__(
        self,
        pieces: Sequence[Patches],
        collections: Sequence[str],
        sizes: Sequence[int],
        batch_patches: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.pieces = pieces
        self.collections = collections
        self.rank = rank
        self.world_size = world_size
        patches = np.asarray(sizes, dtype=np.int64)
        self._bounds = cut(patches, max(1, int(patches.sum()) // batch_patches)).tolist()
        self._packed: dict[int, Batch] = {}

    def __len__(self) -> int:
        return -(-(len(self._bounds) - 1) // self.world_size)

    def __getitem__(self, index: int) -> Batch:
        if index not in self._packed:
            self._packed[index] = self._pack(index * self.world_size + self.rank)
        return self._packed[index]

    def _pack(self, number: int) -> Batch:
        if number >= len(self._bounds) - 1:
            return self._pack(0)._replace(counted=False)
        start, end = self._bounds[number : number + 2]
        pieces = [self.pieces[index] for index in range(start, end)]
        return pack(pieces, self.collections[start:end])


def fixed_loader(
    rows: Dataset, pieces: Sequence[Any], patch_length: int, rank: int, world_size: int
) -> DataLoader[Any]:
    """Loader of :class:`FixedBatches`.

    Args:
        rows: rows of a prepared corpus.
        pieces: an item of each row.
        patch_length: the longest item, in patches.
        rank, world_size: of the ranks.
    """
    batches = FixedBatches(
        pieces,
        [collection_of(piece) for piece in column(rows, "piece")],
        estimated_patches(rows, patch_length).tolist(),
        max(_BATCH_PATCHES, patch_length),
        rank,
        world_size,
    )
    return DataLoader(batches, batch_size=None)


def subset(rows: Dataset, most: int | None) -> Dataset:
    """Rows of at most ``most`` pieces, in their order; None for all.

    They are chosen by a hash of the piece's name, so they are the same for every run, and nearly
    the same where pieces are added to the corpus.
    """
    if most is None or len(rows) <= most:
        return rows
    names = column(rows, "piece")
    hashes = [hashlib.sha256(name.encode()).digest() for name in names]
    return rows.select(sorted(sorted(range(len(names)), key=hashes.__getitem__)[:most]))
