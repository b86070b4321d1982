"""Work in processes of its own, so that memory and threads are those of one side alone."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

from notagen.training import cpu as cpu_settings

Works = Mapping[str, Callable[[], Any]]
"""What a side can be asked to do, by name."""

# Forked from one clean process: a side's peak memory then owes nothing to the one that asks.
_CONTEXT = multiprocessing.get_context("forkserver")


class Reply(NamedTuple):
    """What came of one piece of work.

    Attributes:
        result: what it returned; of timed work, how much was done.
        cpu: seconds of all threads of the process.
        wall: seconds.
        memory: bytes, the most the process held so far above what its imports take; of a GPU,
            the most its tensors took there.
    """

    result: Any
    cpu: float
    wall: float
    memory: int

    @property
    def cost(self) -> dict[str, float]:
        """Seconds for one unit of what was done, by each clock."""
        return {"CPU": self.cpu / self.result, "wall": self.wall / self.result}


Round = tuple[Reply, Reply]
"""Reference and ours, one right after the other."""


class Side:
    """A process that works when it is called.

    Args:
        make: can be pickled; called in the process, it makes the works.
        threads: of torch.
        device: that the works use, waited for before clocks are read.
        settled: whether the process is set up as the training command sets itself up.
    """

    def __init__(
        self,
        make: Callable[[], Works],
        threads: int,
        device: str = "cpu",
        *,
        settled: bool = False,
    ) -> None:
        self.connection, far_end = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_serve, args=(far_end, threads, device, settled), daemon=True
        )
        self.process.start()
        far_end.close()  # so that the process's death closes the pipe
        self.connection.send(make)

    def __call__(self, name: str) -> Reply:
        """Do one piece of work; a side that fails tells why, and the pipe breaks."""
        self.connection.send(name)
        reply: Reply = self.connection.recv()
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.connection.close()
        self.process.join()


def alternate(reference: tuple[Side, str], ours: tuple[Side, str], rounds: int) -> list[Round]:
    """Let both sides do their work in turn, once to warm up and then so many rounds."""
    (their_side, their_work), (our_side, our_work) = reference, ours
    return [(their_side(their_work), our_side(our_work)) for _ in range(1 + rounds)][1:]


def _serve(connection: Connection, threads: int, device: str, settled: bool) -> None:
    if settled:
        cpu_settings.configure()
    make = connection.recv()  # imports what the work needs
    import torch

    torch.set_num_threads(threads)
    imported = 0 if device == "cuda" else _peak_memory()
    works = make()
    while True:
        try:
            name = connection.recv()
        except (EOFError, ConnectionError):
            return  # nothing more is asked
        cpu, wall = time.process_time(), time.perf_counter()
        result = works[name]()
        if device == "cuda":
            torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = torch.cuda.max_memory_allocated() if device == "cuda" else _peak_memory()
        connection.send(Reply(result, cpu, wall, peak - imported))


def _peak_memory() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
