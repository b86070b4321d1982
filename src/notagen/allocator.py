"""Keep freed activations in the process, so that the next step need not fault them in again."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Tell glibc to reuse large freed blocks instead of giving them back to the kernel.

    A training step on a CPU frees and allocates the same activations again and again; page
    faults were measured at a third of a small model's step. Nothing happens off Linux.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; musl has none
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
