"""Steps that ranks take together: what stops one of them stops all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import lightning as L
import torch.distributed as dist

from notagen.errors import UserError

T = TypeVar("T")


def on_first_rank(trainer: L.Trainer, step: Callable[[], T]) -> T:
    """Run a step on the first rank while the others wait; all return what it returns.

    Raises:
        UserError: on the others, where the first raised anything.
    """
    found, problem = None, None
    if trainer.is_global_zero:
        try:
            found = step()
        except BaseException as error:  # a signal, too: a rank that waits does not handle its own
            trainer.strategy.broadcast((None, _sentence(error, rank=0)))
            raise
    found, problem = trainer.strategy.broadcast((found, problem))
    if problem is not None:
        raise UserError(problem)
    return found  # type: ignore[return-value]


def on_every_rank(trainer: L.Trainer, step: Callable[[], T]) -> T:
    """Run a step on every rank, and wait for all of them.

    Raises:
        UserError: on those that ran it well, where another raised an error.
    """
    try:
        found = step()
    except Exception as error:
        _gathered(trainer, _sentence(error, trainer.global_rank))
        raise
    if problems := _gathered(trainer, None):
        raise UserError(problems[0])
    return found


def _gathered(trainer: L.Trainer, problem: str | None) -> list[str]:
    """The problems of all ranks."""
    if not dist.is_initialized():
        return []
    problems: list[str | None] = [None] * trainer.world_size
    dist.all_gather_object(problems, problem)
    return [each for each in problems if each is not None]


def _sentence(error: BaseException, rank: int) -> str:
    return str(error) if isinstance(error, UserError) else f"rank {rank} stopped: {error!r}"
