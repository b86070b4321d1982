"""Notes of a score file, counted without the reader, to see whether reading lost or added any."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from notagen.scores.abc_source import decoded, split_tunes

# Lines of an ABC tune without music: `T:title`, `+:continued`, `%%text`. A letter of a note and
# the colon of a barline are music: `A:|`.
_NO_MUSIC = re.compile(r"\s*(?:%|\+:|[H-WYZh-wyz]:|[A-GXa-gx]:(?![:|\]]|\[\|))")
# What holds letters that are no notes: `"Am7"`, `!fade!`, `+accent+`, `[K:D]`, a comment.
_WORDS = re.compile(
    r"""(?<!\\)%.*|"[^"]*"|![^!\s|]+!|\[[A-Za-z]:[^][]*\]
    |\+(?=[^+\s|]*[h-zH-Z<>.]|(?:[mpf]|pp+|ff+|mf|sf|fz)\+)[^+\s|]+\+""",
    re.VERBOSE,
)
_NOTE = re.compile(r"[A-Ga-g]")


def counts(path: Path) -> list[int] | None:
    """Heads of notes of each tune of a file, in order; None where nothing here counts its format.

    The notes of chords and graces count, tied notes as often as they are written, repeats once.
    """
    if path.suffix.lower() == ".abc":
        return [_abc(tune) for tune in split_tunes(decoded(path.read_bytes()))]
    total = count(path)
    return None if total is None else [total]


def count(path: Path) -> int | None:
    """Heads of notes of a whole file; None where nothing here counts its format."""
    if path.suffix.lower() == ".abc":
        return sum(counts(path) or [])
    counter = _COUNTERS.get(path.suffix.lower())
    return None if counter is None else counter(path)


def _abc(tune: str) -> int:
    """Letters of notes in the music lines of an ABC tune, which begin after its first ``K:``."""
    _, _, music = f"\n{tune}".partition("\nK:")
    lines = (line for line in music.split("\n")[1:] if not _NO_MUSIC.match(line))
    return sum(len(_NOTE.findall(_WORDS.sub("", line))) for line in lines)


_COUNTERS: Final[Mapping[str, Callable[[Path], int]]] = {}
"""Counters of formats whose files hold one score, by suffix: ``.krn``, ``.mid``."""
