"""How long a command takes to say what it can do, and to say its first word of work."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final

from benchmarks.table import Row

_FIRST_LINE: Final = {  # weights that are not there: a plan or a refusal is the first line
    "generate": ("weights=none",),
    "evaluate": ("weights=none",),
    "export": ("weights=none", "out=none.pth"),
}


def rows(commands: Sequence[str], rounds: int) -> Iterator[Row]:
    """Seconds of ``python -m notagen.<command>`` until its help or its first line is there."""
    for command in commands:
        yield from _rows(f"notagen.{command} --help", command, ("--help",), rounds)
        if words := _FIRST_LINE.get(command):
            yield from _rows(f"notagen.{command}, first line", command, words, rounds)


def _rows(work: str, command: str, words: Sequence[str], rounds: int) -> Iterator[Row]:
    cpu, wall = zip(*(_seconds(command, words) for _ in range(rounds)), strict=True)
    yield Row(work, "CPU s", median(cpu))
    yield Row(work, "wall s", median(wall))


def _seconds(command: str, words: Sequence[str]) -> tuple[float, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-m", f"notagen.{command}", *words],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline()
        wall = time.perf_counter() - started
        if words == ("--help",):
            process.stdout.read()
        process.kill()  # what comes after the first line is not counted
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall
