"""A process pool with a time and memory limit per job, so that no file can stop a run.

A file may hang its reader, fill its memory or crash it. Each reader has one file at a time; when
it dies or takes too long, that file gets a :class:`Failure` and a new reader replaces it.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

# Readers are forked from a clean server process that has done the imports: they start at once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["notagen.corpus.reader"])


@dataclass(frozen=True, slots=True)
class Failure:
    """A job without a result, and the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one job: seconds, and bytes of address space (enforced on Linux only)."""

    seconds: float = 300
    memory: int = 4_000_000_000


def each(
    function: Callable[[Job], Result], jobs: Iterable[Job], processes: int, limits: Limits
) -> Iterator[tuple[Job, Result | Failure]]:
    """Call a function on each job in parallel; yield jobs and results in order of completion.

    Args:
        function: must be picklable, and neither raise nor return None.
        jobs: consumed one by one, as readers become free.
        processes: number of readers.
        limits: time and memory for one job.
    """
    waiting = iter(jobs)
    busy: list[_Reader[Job, Result]] = []
    try:
        for job in islice(waiting, processes):
            busy.append(_Reader(function, limits))
            busy[-1].give(job)
        while busy:
            soonest = min(reader.deadline for reader in busy)
            wait([r.connection for r in busy], max(0.0, soonest - time.monotonic()))
            for reader in [reader for reader in busy if reader.has_ended()]:
                yield reader.job, reader.take()
                for job in islice(waiting, 1):
                    reader.give(job)
                    break
                else:
                    busy.remove(reader)
                    reader.stop()
    finally:
        for reader in busy:
            reader.stop()


class _Reader(Generic[Job, Result]):
    """A process, its current job, and the job's deadline (of ``time.monotonic``)."""

    job: Job
    deadline: float

    def __init__(self, function: Callable[[Job], Result], limits: Limits) -> None:
        self.function = function
        self.limits = limits
        self._start()

    def _start(self) -> None:
        self.connection, far_end = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_serve, args=(far_end, self.function, self.limits.memory), daemon=True
        )
        self.process.start()
        far_end.close()  # now only the reader holds it: if it dies, the pipe is closed
        try:
            self.connection.recv()  # wait for its imports: they do not count against the first job
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            raise RuntimeError(f"a reader ended with exit code {code} before any job") from None

    def give(self, job: Job) -> None:
        if not self.process.is_alive():
            self._start()
        self.job = job
        self.deadline = time.monotonic() + self.limits.seconds
        self.connection.send(job)

    def has_ended(self) -> bool:
        return self.connection.poll() or time.monotonic() >= self.deadline

    def take(self) -> Result | Failure:
        if not self.connection.poll():
            self.stop()
            return Failure(f"too slow: not read within {self.limits.seconds:g} seconds")
        try:
            result: Result = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.stop()
            return Failure(f"crashed: its reader ended with exit code {self.process.exitcode}")
        return result

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, function: Callable[[Job], object], memory: int) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the parent, which stops its readers
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        connection.send("ready")
        while True:
            connection.send(function(connection.recv()))
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
