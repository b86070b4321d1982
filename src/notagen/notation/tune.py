"""A piece of music as NotaGen's ABC dialect writes it: header lines, then bars of all voices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bar:
    """One voice's music in one bar.

    ``text`` is what stands between two barlines, outer blanks stripped, inline fields included
    (``[K:Eb] F2 F2 F=E F2``). ``right`` is the barline that closes the bar, with its ending
    number (``|``, ``||``, ``|]``, ``:|``, ``|:``, ``::``, ``:|2``, ``|1``; empty when the text
    ends without one). ``left`` is a barline that opens it, and is only ever set in a voice's
    first bar.
    """

    text: str
    right: str = "|"
    left: str = ""


@dataclass(frozen=True, slots=True)
class Tune:
    """A score: ``header`` lines in order without line ends, ``bars[i][voice_id]`` the music.

    A resting voice may be missing from a bar's mapping when rests are left out.
    """

    header: tuple[str, ...]
    bars: tuple[Mapping[str, Bar], ...]
