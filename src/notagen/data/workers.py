"""Processes that another one starts: they leave its signals to it, and end when it does."""

from __future__ import annotations

import ctypes
import signal
import sys
from multiprocessing import active_children
from typing import Final

_PR_SET_PDEATHSIG: Final = 1

LOADER_CONTEXT: Final = "fork" if sys.platform == "linux" else None
"""Start method of loaders. A server that forks them, Python's choice from 3.14 on, would die of a
signal to the group, and they with it."""


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the system send this process a signal when the one that started it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)


def end_loaders() -> None:
    """End the loaders of this process; at its exit Python would wait for them.

    It ends them by SIGTERM, to which they are deaf, where an error or a signal has kept torch from
    telling them.
    """
    for child in active_children():
        if child.daemon:  # as torch's are, and no other process that we start
            child.kill()


def start_loader(_: int) -> None:
    """Prepare a loader process; a ``worker_init_fn``.

    Signals to a whole group (Ctrl-C, torchrun, SLURM) reach it, too; did it end, the training that
    waits for its batches would fail before it has saved them.
    """
    end_with_parent()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
