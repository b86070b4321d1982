"""Batches: packed pieces, in an order that depends on (seed, epoch) alone and resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader

from notagen.errors import UserError
from notagen.patches import Patches


class Batch(NamedTuple):
    """Packed pieces.

    Attributes:
        patches: uint8 [sum of lengths, 16].
        lengths: int64 [pieces], patches of each piece; stays on the CPU side of the model, which
            cuts the packed rows by it.
    """

    patches: Tensor
    lengths: Tensor


class Pairs(NamedTuple):
    """Packed pairs of pieces: all chosen ones, then the rejected ones in the same order.

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


def pack(pieces: Sequence[Patches]) -> Batch:
    """Lay pieces [n_i, 16] end to end."""
    return Batch(
        patches=torch.from_numpy(np.concatenate(pieces)),
        lengths=torch.tensor([len(piece) for piece in pieces]),
    )


class ShuffledBatches(torch.utils.data.Sampler[list[tuple[int, int]]]):
    """Batches of ``(epoch, index)`` for one rank.

    Each epoch is a new order of all pieces, dealt to the ranks in turn; the last, smaller batches
    are dropped, so that each rank gets as many. Lightning calls :meth:`set_epoch`.
    """

    def __init__(self, pieces: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        self.pieces = pieces
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.start = 0  # batches of this epoch that were handed out before a resume

    @property
    def sampler(self) -> ShuffledBatches:
        """Itself: Lightning tells the epoch to a loader's ``batch_sampler.sampler`` only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next iteration is."""
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
    """A training loader that knows how many batches it has handed out.

    Lightning saves its state in every checkpoint and gives it back on resume; the next batches
    are then those that would have come.
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
        )
        self.batches = batches
        self.handed_out = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # A generator, so that nothing is drawn before Lightning has said which epoch it is.
        self.handed_out = self.batches.start
        for batch in super().__iter__():
            self.handed_out += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How far the epoch is, and what that means only together with."""
        return {"handed_out": self.handed_out % len(self.batches), **self._layout()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken.

        Raises:
            UserError: the batches would be others, because a size changed.
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
