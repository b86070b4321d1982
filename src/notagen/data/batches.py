"""Training batches of packed pieces, in an order that (seed, epoch) gives, resumed exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from notagen.data.workers import LOADER_CONTEXT, start_loader
from notagen.errors import UserError
from notagen.patches import Patches

Indices = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """Packed pieces.

    Attributes:
        patches: uint8 [sum of lengths, 16].
        lengths: int64 [pieces], patches of each piece.
        collections: name of each validation piece's collection, [pieces]; empty in training.
        counted: False for a batch that another rank has, too: a rank that is one short runs it to
            keep in step.
    """

    patches: Tensor
    lengths: Tensor
    collections: Sequence[str] = ()
    counted: bool = True


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


class ShuffledBatches(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """Batches of ``(epoch, index)`` for one rank.

    Each epoch is a new permutation of all pieces, cut into batches that are dealt to the ranks in
    turn. The pieces at its end that are too few for all ranks are dropped, so that all have equally
    many batches. Lightning calls :meth:`set_epoch`.

    Attributes:
        used: pieces at the beginning of this epoch that are left out: they were used before a
            resume with batches of another size or on another number of ranks.
        start: batches of the others to skip: they were used before a resume, too.
    """

    def __init__(self, pieces: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.pieces = pieces
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.used = 0
        self.start = 0

    @property
    def sampler(self) -> ShuffledBatches:
        """This object: Lightning calls ``set_epoch`` on a loader's ``batch_sampler.sampler``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration; another than before begins at its beginning."""
        if epoch != self.epoch:
            self.used = self.start = 0
        self.epoch = epoch

    def __len__(self) -> int:
        return self.pieces // (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = self._order()
        bounds = self._bounds(order)
        start, self.start = self.start, 0
        for number in range(start * self.world_size + self.rank, len(bounds) - 1, self.world_size):
            indices = order[bounds[number] : bounds[number + 1]]
            yield [(self.epoch, int(index)) for index in indices]

    def remaining(self) -> int:
        """Batches of this epoch that are still to come, on each rank."""
        return (len(self._bounds(self._order())) - 1) // self.world_size - self.start

    def used_after(self, batches: int) -> int:
        """Pieces of this epoch that are used, by all ranks, after ``batches`` of each."""
        return self.used + int(self._bounds(self._order())[batches * self.world_size])

    def _order(self) -> Indices:
        """The pieces of this epoch in their order, without those used."""
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.pieces)
        return order[self.used :]

    def _bounds(self, order: Indices) -> Indices:
        """Beginning in ``order`` of each batch of each rank, and the end of the last one."""
        steps = len(order) // (self.batch_size * self.world_size)
        return np.arange(steps * self.world_size + 1) * self.batch_size


class PieceLoader(DataLoader[Any]):
    """A training loader that resumes in the middle of an epoch.

    Lightning saves its state in every checkpoint and restores it on resume; the batches continue
    as if the run had not been interrupted. With batches of another size or on another number of
    ranks, they hold the pieces of the epoch that were not used before.

    Attributes:
        divided_anew: whether the batches are not those that its state was saved with.
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
        self.divided_anew = False

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so that nothing is drawn before Lightning has set the epoch.
        self.handed_out = self.batches.start
        for batch in super().__iter__():
            self.handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The position in the epoch, and the settings on which the order of batches depends."""
        return {
            "epoch": self.batches.epoch,
            "used": self.batches.used,
            "handed_out": self.handed_out,
            "batch_size": self.batches.batch_size,
            "world_size": self.batches.world_size,
            "pieces": self.batches.pieces,
            "seed": self.batches.seed,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the batches that were used when ``state`` was saved.

        Raises:
            UserError: the corpus or the seed is another, so that the order would be, too.
        """
        for name in ("pieces", "seed"):
            if state[name] != (now := getattr(self.batches, name)):
                raise UserError(
                    f"this run was started with {name} {state[name]} and cannot resume with {now}; "
                    "set it back, or start another run from the weights (init_from=)"
                )
        before = copy(self.batches)
        before.batch_size, before.world_size = state["batch_size"], state["world_size"]
        before.set_epoch(state["epoch"])
        before.used = state["used"]
        self.batches.set_epoch(state["epoch"])
        now = self.batches.batch_size, self.batches.world_size
        self.divided_anew = now != (before.batch_size, before.world_size)
        if self.divided_anew:
            self.batches.used = before.used_after(state["handed_out"])
        else:
            self.batches.used, self.batches.start = state["used"], state["handed_out"]


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

    def _bounds(self, order: Indices) -> Indices:
        sizes = self.sizes[order]
        steps = int(sizes.sum()) // (self.batch_size * self.world_size)
        return cut(sizes, steps * self.world_size)


def cut(sizes: Indices, batches: int) -> Indices:
    """Cut pieces that lie end to end at equal distances, each kept whole where it starts.

    Args:
        sizes: patches of each piece, none larger than the distance.
        batches: number of parts.

    Returns:
        int64 [batches + 1]: where each part begins among the pieces, and where the last one ends.
    """
    if not batches:
        return np.zeros(1, np.int64)
    ends = sizes.cumsum()
    part = (ends - sizes) * batches // ends[-1]
    return np.searchsorted(part, np.arange(batches + 1))
