"""Commands that a fault interrupts: kills, failing calls, full disks, signals.

A command runs in a process forked from a server that has everything imported, with `faults.c`
loaded before the C library: the server is started once, after :func:`load`.
"""

from __future__ import annotations

import ctypes
import enum
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch

from tests.helpers.ranks import FORKS, torchrun

SOURCE = Path(__file__).with_suffix(".c")
PATIENCE = 120  # seconds until a command counts as hanging


class Fault(enum.IntEnum):
    """What happens at the call, as `faults.c` numbers it."""

    NONE = 0
    KILL = 1
    TORN_WRITE = 2
    IO_ERROR = 3
    FULL_DISK = 4
    SIGTERM = 5
    SIGINT = 6


EXIT_CODES = {
    Fault.KILL: {-signal.SIGKILL},
    Fault.TORN_WRITE: {-signal.SIGKILL},
    Fault.IO_ERROR: {0, 1},  # 0: what failed was not needed
    Fault.FULL_DISK: {0, 1},
    Fault.SIGTERM: {0, 128 + signal.SIGTERM},  # 0: it came at the very end
    Fault.SIGINT: {0, 128 + signal.SIGINT},
}


@dataclass(frozen=True)
class At:
    """A fault at the ``call``-th call that changes a file, on one of the ranks."""

    fault: Fault
    call: int
    rank: int = 0


def load(folder: Path) -> None:
    """Compile `faults.c` and have it loaded into all processes that are started from now on."""
    library = folder / "faults.so"
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "faults are injected by a library of C: install a compiler, as cc or gcc"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    os.environ["LD_PRELOAD"] = str(library)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        codes: exit code of each rank.
        logs: output of each rank.
        calls: that changed a file below the folder, of each rank; 0 where it was killed.
    """

    codes: list[int]
    logs: list[str]
    calls: list[int]


def run(folder: Path, argv: Sequence[str], ranks: int = 1, at: At | None = None) -> Outcome:
    """Run ``notagen.<argv[0]>`` in ``folder`` to its end, whatever that is.

    Raises:
        TimeoutError: it hangs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder.with_name(f"{folder.name}-logs")  # what is written there is not counted
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        FORKS.Process(target=_command, args=(folder, logs, argv, rank, ranks, port, at))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    hung = not _ended(processes)
    texts = [(logs / f"{rank}.log").read_text() for rank in range(ranks)]
    if hung:
        raise TimeoutError("\n".join(texts))
    counts = [logs / f"{rank}.calls" for rank in range(ranks)]
    calls = [int(count.read_text()) if count.exists() else 0 for count in counts]
    return Outcome([process.exitcode or 0 for process in processes], texts, calls)


def _ended(processes: Sequence[ForkServerProcess]) -> bool:
    """Wait until all have ended; where one fails the others are told to, as torchrun does."""
    deadline = time.monotonic() + PATIENCE
    told = False
    while alive := [process for process in processes if process.is_alive()]:
        time.sleep(0.02)
        if time.monotonic() > deadline:
            for process in alive:
                process.kill()
                process.join()
            return told  # torchrun kills those that SIGTERM does not end
        if not told and any(process.exitcode for process in processes):
            told = True
            deadline = time.monotonic() + 20
            for process in alive:
                process.terminate()
    return True


def _command(
    folder: Path,
    logs: Path,
    argv: Sequence[str],
    rank: int,
    ranks: int,
    port: int,
    at: At | None,
) -> None:
    os.chdir(folder)
    log = os.open(logs / f"{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run in the background
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked where readers began
    torch.set_num_threads(1)
    if ranks > 1:
        os.environ |= torchrun(rank, ranks, port)
    name, *overrides = argv
    main = import_module(f"notagen.{name}").main
    sys.argv = [f"notagen.{name}", *overrides]
    library = ctypes.CDLL(None)
    if at is None or at.rank != rank:
        at = At(Fault.NONE, 0)
    library.chaos_arm(f"{folder}/".encode(), ctypes.c_long(at.call), int(at.fault))
    try:
        main()
    finally:
        (logs / f"{rank}.calls").write_text(str(library.chaos_count()))
