"""Batches of packed pieces, in an order that depends on (seed, epoch) only and resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from notagen.data.workers import LOADER_CONTEXT, start_loader
from notagen.errors import UserError
from notagen.patches import Patches


class Batch(NamedTuple):
    """Packed pieces.

    Attributes:
        patches: uint8 [sum of lengths, 16].
        lengths: int64 [pieces], patches of each piece.
        collections: name of each validation piece's collection, [pieces]; empty in training.
    """

    patches: Tensor
    lengths: Tensor
    collections: Sequence[str] = ()


class Pairs(NamedTuple):
    """Packed pairs of pieces: all chosen ones, then all rejected ones in the same order.

    Attributes:
        patches: uint8 [sum of lengths, 16].
        lengths: int64 [2 * pairs], patches of each piece.
        numbers: int64 [2 * pairs], the number of each piece in its iteration.
        prompts: the prompt that both pieces of a pair were written for, [pairs].
    """

    patches: Tensor
    lengths: Tensor
    numbers: Tensor
    prompts: list[str]


def pack(pieces: Sequence[Patches], collections: Sequence[str] = ()) -> Batch:
    """Concatenate pieces [n_i, 16] to a batch [sum of n_i, 16]."""
    return Batch(
        patches=torch.from_numpy(np.concatenate(pieces)),
        lengths=torch.tensor([len(piece) for piece in pieces]),
        collections=collections,
    )


def pack_validation(items: Sequence[tuple[Patches, str]]) -> Batch:
    """Concatenate validation pieces to a batch that names the collection of each."""
    return pack([patches for patches, _ in items], [collection for _, collection in items])


class ShuffledBatches(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """Batches of ``(epoch, index)`` for one rank.

    Each epoch is a new permutation of all pieces, dealt to the ranks in turn. The smaller batches
    at its end are dropped, so that all ranks have equally many. Lightning calls :meth:`set_epoch`.
    """

    def __init__(self, pieces: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.pieces = pieces
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0  # batches of this epoch to skip: they were used before a resume

    @property
    def sampler(self) -> ShuffledBatches:
        """This object: Lightning calls ``set_epoch`` on a loader's ``batch_sampler.sampler``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.pieces // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.pieces)
        mine = order[self.rank :: self.world_size]
        start, self.start = self.start, 0
        for batch in range(start, len(self)):
            indices = mine[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in indices]


class PieceLoader(DataLoader[Any]):
    """A training loader that resumes in the middle of an epoch.

    Lightning saves its state in every checkpoint and restores it on resume; the batches continue
    as if the run had not been interrupted.
    """

    def __init__(
        self,
        pieces: torch.utils.data.Dataset[Any],
        batches: ShuffledBatches,
        workers: int,
        collate: Callable[[list[Any]], Any] = pack,
    ) -> None:
        super().__init__(
            pieces,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
            worker_init_fn=start_loader,
            multiprocessing_context=LOADER_CONTEXT if workers else None,
        )
        self.batches = batches
        self.handed_out = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so that nothing is drawn before Lightning has set the epoch.
        self.handed_out = self.batches.start
        for batch in super().__iter__():
            self.handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Number of batches used in this epoch, and the settings on which their order depends."""
        return {"handed_out": self.handed_out % len(self.batches), **self._layout()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the batches that were used when ``state`` was saved.

        Raises:
            UserError: a setting differs, so that the batches would be different ones.
        """
        for name, value in self._layout().items():
            if state[name] != value:
                raise UserError(
                    f"this run was started with {name} {state[name]} and cannot go on with "
                    f"{value}; set it back, or start another run from the weights (init_from=)"
                )
        self.batches.start = state["handed_out"]

    def _layout(self) -> dict[str, int]:
        return {
            "batch_size": self.batches.batch_size,
            "world_size": self.batches.world_size,
            "pieces": self.batches.pieces,
            "seed": self.batches.seed,
        }


class PatchBatches(ShuffledBatches):
    """Batches of about ``batch_patches`` patches and any number of pieces, for one rank.

    The shuffled pieces of an epoch are laid end to end and cut at equal distances; a piece belongs
    to the batch in which it starts. So no piece is left out, all epochs have equally many batches,
    and a batch differs from their mean by less than its longest piece. That mean is at least
    ``batch_patches`` and, with k batches per epoch and rank, less than (1 + 1/k) times that.

    Args:
        sizes: patches of each piece; estimates suffice.
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
        batch_of = (ends - self.sizes[order]) * batches // ends[-1]  # by where a piece starts
        bounds = np.searchsorted(batch_of, np.arange(batches + 1))
        start, self.start = self.start, 0
        for number in range(start * self.world_size + self.rank, batches, self.world_size):
            indices = order[bounds[number] : bounds[number + 1]]
            yield [(self.epoch, int(index)) for index in indices]
