"""From score files to rows of a corpus: processor time and disk."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.sides import Side, Works
from benchmarks.table import Row
from notagen.corpus.reading import Reader
from notagen.corpus.sources import Source, chorales, music21
from notagen.data import storage
from notagen.data.storage import Row as Piece

# As the published preprocessing was measured once: seconds, bytes and characters a piece.
_SECONDS, _BYTES, _CHARACTERS = 0.54, 96_300, 6_800
_RECORDED = "reference: pieces of 6,800 characters, recorded elsewhere, not measured here"


class Scores(NamedTuple):
    """Rows of a corpus, to measure on what a training run does with them."""

    chorales: list[Piece]
    movement: list[Piece]


def measure(count: int, movement: str, rounds: int, threads: int) -> tuple[list[Row], Scores]:
    """Read so many chorales and one movement that music21 installs: figures, and the rows.

    The first reading, in which music21 is loaded, does not count.
    """
    with Side(partial(_works, count, movement), threads) as side:
        read = Scores(side("chorales").result, side("movement").result)
        seconds = [median(side(name).cpu for _ in range(rounds)) for name in Scores._fields]
        stored = side("disk").result
    pieces, characters = len(read.chorales), sum(row["characters"] for row in read.chorales)
    chorale = f"prepare, a chorale of {characters / pieces:,.0f} characters"
    thousand = "prepare, 1,000 characters of chorales"
    quartet = f"prepare, a quartet movement of {read.movement[0]['characters']:,} characters"
    figures = [
        (chorale, "CPU s", seconds[0] / pieces, _SECONDS),
        (chorale, "bytes on disk", stored / pieces, _BYTES),
        (thousand, "CPU s", 1e3 * seconds[0] / characters, 1e3 * _SECONDS / _CHARACTERS),
        (thousand, "bytes on disk", 1e3 * stored / characters, 1e3 * _BYTES / _CHARACTERS),
    ]
    rows = [Row(*figure, remark=_RECORDED) for figure in figures]
    return [*rows, Row(quartet, "CPU s", seconds[1])], read


def _works(count: int, movement: str) -> Works:
    every = chorales()
    few = every[:: len(every) // count][:count]
    quartet = [source for source in music21() if source.piece == movement]
    return {
        "chorales": partial(_read, few),
        "movement": partial(_read, quartet),
        "disk": lambda: _bytes_on_disk(_read(few)),
    }


def _read(sources: list[Source]) -> list[Piece]:
    """Parse, write as text, clean and fingerprint."""
    reader = Reader()
    return [piece["row"] for source in sources for piece in reader(source)["pieces"]]


def _bytes_on_disk(rows: list[Piece]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        storage.write(corpus, {"train": rows}, [], {})
        return sum(path.stat().st_size for path in corpus.rglob("*.arrow"))
