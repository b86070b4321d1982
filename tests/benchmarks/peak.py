"""What the machine can do at best: a product of large matrices."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.sides import Side, Works


def flops_per_second(size: int, rounds: int, threads: int) -> float:
    """FLOP/s of the fastest of so many products of two [size, size] matrices in float32.

    By the clock that steps are measured with: seconds of processor time with one thread, of wall
    time with more.
    """
    clock = "CPU" if threads == 1 else "wall"
    with Side(partial(_works, size), threads) as side:
        return max(1 / side("multiply").cost[clock] for _ in range(1 + rounds))


def _works(size: int) -> Works:
    left, right = torch.randn(2, size, size)

    def multiply() -> int:
        torch.mm(left, right)
        return 2 * size**3

    return {"multiply": multiply}
