"""What the machine can do at best: a product of large matrices, and reading memory."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.sides import Side, Works


def clock(threads: int, device: str) -> str:
    """Processor time is what to look at with one thread: on a busy machine it hardly changes."""
    return "CPU" if threads == 1 and device == "cpu" else "wall"


def flops_per_second(size: int, rounds: int, threads: int, device: str = "cpu") -> float:
    """FLOP/s of the fastest of so many products of two [size, size] matrices.

    In the precision that steps have there: float32, on a GPU bfloat16.
    """
    with Side(partial(_works, size, device), threads, device) as side:
        return max(1 / side("multiply").cost[clock(threads, device)] for _ in range(1 + rounds))


def bytes_per_second(megabytes: int, rounds: int) -> float:
    """The fastest of so many readings of memory by one thread, from end to end."""
    with Side(partial(_reading, megabytes), threads=1) as side:
        return max(1 / side("read").cost["CPU"] for _ in range(1 + rounds))


def _reading(megabytes: int) -> Works:
    numbers = torch.ones(megabytes * 250_000)  # of four bytes

    def read() -> int:
        numbers.dot(numbers)
        return megabytes * 1_000_000

    return {"read": read}


def _works(size: int, device: str) -> Works:
    precision = torch.float32 if device == "cpu" else torch.bfloat16
    left, right = torch.randn(2, size, size, device=device, dtype=precision)

    def multiply() -> int:
        torch.mm(left, right)
        return 2 * size**3

    return {"multiply": multiply}
