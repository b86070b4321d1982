"""Batches in an order that is a function of (seed, epoch) alone, and that resumes exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch.utils.data
from torch.utils.data import DataLoader

from notagen.batch import pack
from notagen.errors import UserError


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
