"""From score files to rows of a corpus: processor time and disk."""

from __future__ import annotations

import tempfile
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.sides import Side, Works
from benchmarks.table import Row
from notagen.corpus.reader import Reader
from notagen.corpus.sources import UNKNOWN, Source, chorales, music21
from notagen.data import storage
from notagen.data.storage import Row as Piece
from notagen.notation import Tune

# As the published preprocessing was measured once: seconds, bytes and characters a piece. It starts
# from the ABC that another program has made of MusicXML, in 0.25 s a piece or more.
_SECONDS, _BYTES, _CHARACTERS = 0.54, 96_300, 6_800
_RECORDED = "reference: pieces of 6,800 characters, recorded elsewhere, not measured here"
_FROM_ABC = f"{_RECORDED}; from ABC to rows on both sides"
_FROM_XML = f"{_RECORDED}, and from ABC; ours from MusicXML, read by music21"


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
        from_abc = [side("abc") for _ in range(1 + rounds)][1:]
    pieces, characters = len(read.chorales), sum(row["characters"] for row in read.chorales)
    chorale = f"prepare, a chorale of {characters / pieces:,.0f} characters"
    thousand = "prepare, 1,000 characters of chorales"
    quartet = f"prepare, a quartet movement of {read.movement[0]['characters']:,} characters"
    abc = "prepare, 1,000 characters that are ABC already"
    abc_seconds = 1e3 * median(reply.cost["CPU"] for reply in from_abc)
    reference_seconds, reference_bytes = (1e3 * x / _CHARACTERS for x in (_SECONDS, _BYTES))
    rows = [
        Row(abc, "CPU s", abc_seconds, reference_seconds, reference_seconds / abc_seconds,
            goal="10", remark=_FROM_ABC),
        Row(chorale, "CPU s", seconds[0] / pieces, _SECONDS, remark=_FROM_XML),
        Row(chorale, "bytes on disk", stored / pieces, _BYTES, remark=_RECORDED),
        Row(thousand, "CPU s", 1e3 * seconds[0] / characters, reference_seconds, remark=_FROM_XML),
        Row(thousand, "bytes on disk", 1e3 * stored / characters, reference_bytes,
            reference_bytes * characters / stored / 1e3, goal="10", remark=_RECORDED),
        Row(quartet, "CPU s", seconds[1]),
    ]  # fmt: skip
    return rows, read


def _works(count: int, movement: str) -> Works:
    every = chorales()
    few = every[:: len(every) // count][:count]
    quartet = [source for source in music21() if source.piece == movement]

    @cache
    def texts() -> list[str]:
        return [Tune.parse(row["text"]).to_standard() for row in _read([*few, *quartet])]

    return {
        "chorales": partial(_read, few),
        "movement": partial(_read, quartet),
        "abc": lambda: sum(row["characters"] for row in _read_texts(texts())),
        "disk": lambda: _bytes_on_disk(_read(few)),
    }


def _read(sources: list[Source]) -> list[Piece]:
    """Parse, write as text, clean and fingerprint."""
    reader = Reader()
    return [piece["row"] for source in sources for piece in reader(source)["pieces"]]


def _read_texts(texts: list[str]) -> list[Piece]:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number}.abc" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return _read([Source(path.name, path, UNKNOWN) for path in paths])


def _bytes_on_disk(rows: list[Piece]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        storage.write(corpus, {"train": rows}, [], {})
        return sum(path.stat().st_size for path in corpus.rglob("*.arrow"))
