"""Processes of their own: ranks that talk over gloo, and training commands on one or several.

They are forked from a server and end without taking the interpreter down: a thread of gloo that
asks for the interpreter meanwhile aborts the process.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import MappingProxyType

import lightning as L
import torch
import torch.distributed as dist
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.multiprocessing import start_processes

# A server that has imported everything once is forked for each process: seconds saved each time.
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "notagen.train",
        "notagen.data.datamodule",
        "notagen.stages.pretrain",
        "notagen.training.sample_callback",
        "notagen.dpo",
        "transformers",
        __name__,
    ]
)


def run_on_ranks(work: Callable[[int, Path], None], folder: Path, world_size: int = 2) -> None:
    """Call ``work(rank, folder)`` on several ranks; what one of them raises is raised here."""
    args = (work, folder, world_size)
    start_processes(_work, args, nprocs=world_size, start_method="forkserver")


def _work(rank: int, work: Callable[[int, Path], None], folder: Path, world_size: int) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "rendezvous"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    work(rank, folder)
    dist.destroy_process_group()


class Seen(L.Callback):
    """Notes the pieces of every training batch in ``seen-<rank>.pt``."""

    def __init__(self) -> None:
        self.batches = []

    def on_train_batch_start(self, trainer, stage, batch, index) -> None:
        pieces = batch.patches.split(batch.lengths.tolist())
        self.batches.append([piece.numpy().tobytes() for piece in pieces])
        torch.save(self.batches, f"seen-{trainer.global_rank}.pt")


def start(
    folder: Path,
    overrides: Sequence[str],
    rank: int = 0,
    world_size: int = 1,
    port: int = 0,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> ForkServerProcess:
    """Start one process of a training command; what it prints goes to ``rank-<rank>.log``.

    It is the first of a process group of its own.
    """
    given = (folder, overrides, rank, world_size, port, dict(environment))
    process = FORKS.Process(target=_train, args=given)
    process.start()
    return process


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def train_on_ranks(folder: Path, overrides: Sequence[str], world_size: int = 2) -> None:
    """Run a training command on several ranks to its end."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    processes = [start(folder, overrides, rank, world_size, port) for rank in range(world_size)]
    for process in processes:
        process.join()
    logs = [(folder / f"rank-{rank}.log").read_text() for rank in range(world_size)]
    assert [process.exitcode for process in processes] == [0] * world_size, "\n".join(logs)


def _train(
    folder: Path,
    overrides: Sequence[str],
    rank: int,
    world_size: int,
    port: int,
    environment: dict[str, str],
) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked where readers began
    os.environ |= environment
    os.chdir(folder)
    log = os.open(f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    torch.set_num_threads(1)
    if world_size > 1:
        os.environ |= torchrun(rank, world_size, port)
    sys.argv = ["notagen.train", *overrides]
    from notagen.train import main

    main()


def torchrun(rank: int, world_size: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives a rank."""
    return {
        "TORCHELASTIC_RUN_ID": "test",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(world_size),
        "LOCAL_WORLD_SIZE": str(world_size),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
    }


def scalars(folder: Path, tag: str) -> dict[int, float]:
    """A curve by step, of all TensorBoard files in a folder; where runs overlap, the later one."""
    events = EventAccumulator(str(folder)).Reload()
    return {event.step: event.value for event in events.Scalars(tag)}
