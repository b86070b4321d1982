"""How long a command takes to say what it can do."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.table import Row


def rows(commands: Sequence[str], rounds: int) -> Iterator[Row]:
    """Seconds of ``python -m notagen.<command> --help``."""
    for command in commands:
        cpu, wall = zip(*(_help(command) for _ in range(rounds)), strict=True)
        yield Row(f"notagen.{command} --help", "CPU s", median(cpu))
        yield Row(f"notagen.{command} --help", "wall s", median(wall))


def _help(command: str) -> tuple[float, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", f"notagen.{command}", "--help"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall
