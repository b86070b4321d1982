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
        UserError: on the others, where the first raised an error.
    """
    found, failed = None, None
    if trainer.is_global_zero:
        try:
            found = step()
        except Exception as error:
            failed = error
    trainer.strategy.barrier()  # a broadcast would not wait for hours
    problem = None if failed is None else _sentence(failed, 0)
    found, problem = trainer.strategy.broadcast((found, problem))
    if failed is not None:
        raise failed
    if problem is not None:
        raise UserError(problem)
    return found  # type: ignore[return-value]


def on_every_rank(trainer: L.Trainer, step: Callable[[], T]) -> T:
    """Run a step on every rank, and wait for all of them.

    Raises:
        UserError: on those that ran it well, where another raised an error.
    """
    try:
        found, failed = step(), None
    except Exception as error:
        failed = error
    trainer.strategy.barrier()
    problems = [None if failed is None else _sentence(failed, trainer.global_rank)]
    if dist.is_initialized():
        problems *= trainer.world_size
        dist.all_gather_object(problems, problems[0])
    if failed is not None:
        raise failed
    for problem in problems:
        if problem is not None:
            raise UserError(problem)
    return found


def _sentence(error: BaseException, rank: int) -> str:
    return str(error) if isinstance(error, UserError) else f"rank {rank} stopped: {error!r}"
