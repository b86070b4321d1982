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
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Final, Generic, TypeVar

from notagen.errors import Stopped, UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

# Readers are forked from a clean server process that has done the imports: they start at once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["notagen.corpus.reader"])

_UNKNOWN: Final = 255  # exit code of a process whose server has ended, as Python reports it


@dataclass(frozen=True, slots=True)
class Failure:
    """A job without a result, and the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one job: seconds, and bytes of address space (enforced on Linux only)."""

    seconds: float = 300
    memory: int = 4_000_000_000

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise UserError(
                f"limits.seconds={self.seconds:g} makes every file too slow; choose more than 0"
            )
        if not self.memory > 0:
            raise UserError("limits.memory_gb must be above 0, or no file can be read")


def each(
    function: Callable[[Job], Result], jobs: Iterable[Job], processes: int, limits: Limits
) -> Iterator[tuple[Job, Result | Failure]]:
    """Call a function on each job in parallel; yield jobs and results in order of completion.

    Args:
        function: must be picklable, and neither raise nor return None.
        jobs: consumed one by one, as readers become free.
        processes: number of readers.
        limits: time and memory for one job.

    Raises:
        UserError: no reader can start.
        Stopped: a reader was ended by SIGTERM, which the whole process group may have been sent.
    """
    waiting = iter(jobs)
    busy: list[_Reader[Job, Result]] = []
    _start_server()
    try:
        for job in islice(waiting, processes):
            busy.append(_Reader(function, limits))  # first, so that it is stopped in any case
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
        self.process: ForkServerProcess | None = None

    def _start(self) -> ForkServerProcess:
        self.connection, far_end = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_serve, args=(far_end, self.function, self.limits.memory), daemon=True
        )
        self.process.start()
        far_end.close()  # now only the reader holds it: if it dies, the pipe is closed
        try:
            self.connection.recv()  # wait for its imports: they do not count against the first job
        except EOFError:
            code = self._exit_code()
            raise UserError(
                f"a reader of scores ended with exit code {code} before it had read one; raise "
                "limits.memory_gb, or lower processes"
            ) from None
        return self.process

    def give(self, job: Job) -> None:
        if self.process is None or not self.process.is_alive():
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
            return Failure(f"crashed: its reader ended with exit code {self._exit_code()}")
        return result

    def _exit_code(self) -> int | None:
        """Ending of a reader that closed its end of the pipe."""
        assert self.process is not None
        self.process.join()
        code = self.process.exitcode
        self.stop()
        if code in (-signal.SIGTERM, _UNKNOWN):
            raise Stopped(number=signal.SIGTERM)
        return code

    def stop(self) -> None:
        if self.process is None:
            return
        if self.process.pid is not None:  # it may have been stopped before it began
            self.process.kill()
            self.process.join()
        self.connection.close()


def _start_server() -> None:
    """Start the process that forks readers, deaf to Ctrl-C as are its children.

    Ctrl-C reaches all of a terminal's processes; the parent stops its readers.
    """
    resource_tracker.ensure_running()  # the server would start it, which lets SIGINT in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, function: Callable[[Job], object], memory: int) -> None:
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        connection.send("ready")
        while True:
            connection.send(function(connection.recv()))
    except (EOFError, BrokenPipeError):
        return  # the parent is gone
