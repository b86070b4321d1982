"""Ranks: processes that train one model together; started, counted, waited for and ended."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from subprocess import Popen
from typing import Annotated, Any, Final, TypeAlias

import lightning as L
import torch.distributed as dist
from annotated_types import Interval
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy
from torch.distributed.distributed_c10d import _set_pg_timeout

from notagen.errors import Stopped, UserError
from notagen.training.signals import STOP

Patience: TypeAlias = Annotated[float, Interval(gt=0, le=86400)]
"""Seconds, a day at most."""

_PATIENCE: Final = timedelta(days=1)  # one rank scores what all have sampled
_LAST_WORDS: Final = 30.0  # seconds that ranks have to end once another has
_UNHEARD: Final = 5.0  # if that one was killed, so that they cannot go on
_POLL: Final = 0.05  # seconds
_OF_A_COLLECTIVE: Final = re.compile(r"/gloo/|\bNCCL\b|Connection (closed|reset) by peer")


class Rendezvous(ParallelStrategy):
    """Waits a minute for ranks that start, and hours for ranks that work."""

    startup_timeout: float  # seconds
    _timeout: timedelta | None

    def setup_environment(self) -> None:
        """Start the ranks' communication.

        Raises:
            UserError: not all have come in time.
        """
        patience = timedelta(seconds=self.startup_timeout)
        usual, self._timeout = self._timeout, patience
        try:
            super().setup_environment()
            self._waiting = dist.new_group(backend="gloo", timeout=patience)
        except dist.DistError as error:
            raise UserError(
                f"rank {self.global_rank} waited {self.startup_timeout:g} s for the other ranks of "
                f"{self.world_size}, which did not start or have ended; the first message among "
                "theirs says why (trainer.strategy.startup_timeout= lets it wait for longer)"
            ) from error
        self._timeout = usual
        if usual is not None:
            _set_pg_timeout(usual)
        _set_pg_timeout(_PATIENCE, self._waiting)

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks, for hours if need be; a signal interrupts it, unlike torch's own."""
        if not dist.is_initialized():
            return
        work = dist.barrier(self._waiting, async_op=True)
        while not work.is_completed():
            time.sleep(_POLL)
        work.wait()  # raises what became of it


class DDP(Rendezvous, DDPStrategy):
    """Every rank holds the whole model, and takes its own batches.

    Args:
        startup_timeout: seconds that a rank waits for others to start.
        arguments: of Lightning's strategy.
    """

    def __init__(self, startup_timeout: Patience = 60, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.startup_timeout = startup_timeout


@contextmanager
def losing_one_is_said() -> Iterator[None]:
    """Make one sentence of a collective that failed because another rank has ended.

    Raises:
        UserError: so it was; that rank's own message says why.
    """
    try:
        yield
    except RuntimeError as error:  # of gloo a plain one, of NCCL a subclass
        if not isinstance(error, dist.DistError) and not _OF_A_COLLECTIVE.search(str(error)):
            raise
        raise UserError(
            "another rank has ended, or cannot be reached; the first message among those of all "
            "ranks says why, and resume=true continues from the last checkpoint"
        ) from error


def started() -> int | None:
    """Number of processes that torchrun or SLURM has started; None where neither has.

    Raises:
        UserError: SLURM was asked for several, and they were not started, or not by node.
    """
    if TorchElasticEnvironment.detect():
        return int(os.environ["WORLD_SIZE"])
    if not SLURMEnvironment.detect():
        return None
    tasks = int(os.environ["SLURM_NTASKS"])
    if tasks > 1 and "SLURM_STEP_ID" not in os.environ:
        raise UserError(
            f"this is a SLURM job of {tasks} tasks, and they are started by srun; write srun "
            "before the command"
        )
    if tasks > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UserError(
            f"give SLURM --ntasks-per-node={tasks} (on one node) in place of --ntasks={tasks}"
        )
    return tasks


def check(trainer: L.Trainer, started: int | None) -> None:
    """See that there are as many processes as the trainer takes.

    Args:
        trainer: about to train.
        started: see :func:`started`.

    Raises:
        UserError: there are more or fewer; or validation goes by each rank's own clock.
    """
    devices = trainer.num_devices
    if started not in (None, devices * trainer.num_nodes):
        raise UserError(
            f"{started} processes were started, and trainer.devices={devices} "
            f"trainer.num_nodes={trainer.num_nodes} asks for {devices * trainer.num_nodes}; set "
            "them to the processes of a node and the number of nodes, with trainer=ddp or fsdp"
        )
    by_clock = trainer._val_check_time_interval is not None  # type: ignore[attr-defined]
    if trainer.world_size > 1 and by_clock:
        raise UserError(
            "trainer.val_check_interval is a time, and the clocks of several ranks differ; give a "
            "number of batches"
        )


def must_be_started(trainer: L.Trainer) -> bool:
    """True if this command is to start the ranks of its node itself."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return (
        trainer.num_devices > 1
        and environment is not None
        and not environment.creates_processes_externally
    )


def run_each(command: Sequence[str], number: int) -> int:
    """Run a command once for each rank of this node, and end all when one of them has failed.

    Lightning's own launcher starts copies of the process that calls it, of a whole multirun too,
    and kills that process when another rank ends. Here the ranks are alike, in sessions of their
    own: signals come to this process, which hands them on, once.

    Args:
        command: to run, with ``LOCAL_RANK`` in its environment.
        number: of ranks.

    Returns:
        The exit code: 0 if all have ended well.

    Raises:
        Stopped: by a signal, before the first rank could say so.
        UserError: the system has killed a rank.
    """
    meeting = {"MASTER_PORT": str(LightningEnvironment().main_port)}  # a free one, if none is given
    STOP.listen()
    ranks = [
        Popen(
            command, env={**os.environ, **meeting, "LOCAL_RANK": str(rank)}, start_new_session=True
        )
        for rank in range(number)
    ]
    try:
        return _ended_together(ranks)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
        STOP.forget()


def _ended_together(ranks: Sequence[Popen[bytes]]) -> int:
    handed_on, failed, until = False, 0, float("inf")
    while None in (codes := [rank.poll() for rank in ranks]) and time.monotonic() < until:
        if STOP.number and not handed_on:
            handed_on = True
            for rank in ranks:
                rank.send_signal(signal.SIGTERM)  # Ctrl-C is a traceback until they handle it
        if not failed and (failed := next(filter(None, codes), 0)):
            until = time.monotonic() + (_LAST_WORDS if failed > 0 else _UNHEARD)
        time.sleep(_POLL)
    failed = failed or next(filter(None, codes), 0)
    if STOP.number and codes[0] != 0:
        if codes[0] is None or codes[0] < 0:
            raise Stopped("stopped while starting", STOP.number)
        return 128 + STOP.number if codes[0] == 128 + signal.SIGTERM else codes[0]
    if failed < 0:
        raise UserError(
            f"rank {codes.index(failed)} of {len(ranks)} was killed by "
            f"{signal.Signals(-failed).name}, and the others were ended; the system does that to "
            "what takes too much memory"
        )
    return failed
