"""Where scores come from: files, and what is known about each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """One score file and its labels: period, composer and instrumentation of the prompt."""

    piece: str  # name that stays the same from machine to machine: "bach/bwv269.mxl"
    path: Path
    period: str
    composer: str
    instrumentation: str


def chorales() -> list[Source]:
    """The Bach chorales that music21 installs: 410 MusicXML files, four voices in most of them."""
    from music21 import corpus

    paths = sorted(Path(path) for path in corpus.getComposer("bach", fileExtensions=("xml", "mxl")))
    return [
        Source(f"bach/{path.name}", path, "Baroque", "Bach, Johann Sebastian", "Choral")
        for path in paths
    ]
