"""Differences between a score file and the tune read from it: notes lost or added, endless bars."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, NamedTuple

from notagen.notation import Tune
from notagen.notation.bars import Token, bar_duration, tokens
from notagen.notation.tune import parse_metre

_METRE = re.compile(r"\[M:([^][]*)\]")
_FREE: Final = Fraction(8)  # whole notes that a bar without metre is measured by


class Differences(NamedTuple):
    """Differences between a score file and the tune read from it.

    Attributes:
        notes: of the file, counted without the reader; 0 where nothing counts them.
        added: notes of the tune beyond those of the file; below zero, those that it lost.
        bar: number of its longest bar, from 1.
        metres: length of that bar in its metre; without one, in eight whole notes.
    """

    notes: int
    added: int
    bar: int
    metres: float


def differences(tune: Tune, notes: int | None) -> Differences:
    """Compare a tune with the number of notes of its file, and its bars with their metre."""
    heads, ties = _heads(tune)
    # The file may write a note that is tied as one or as several, and the tune the other way.
    nearest = heads if notes is None else min(max(notes, heads - ties), heads)
    added = 0 if notes is None else nearest - notes
    return Differences(notes or 0, added, *_longest(tune))


def _heads(tune: Tune) -> tuple[int, int]:
    """Heads of notes, also in chords and graces, and how many of them are tied to the next."""
    heads = ties = 0
    for voices in tune.bars:
        for bar in voices.values():
            last = 0  # notes of the last note or chord
            for token in tokens(bar.text):
                inner = sum(max(_notes(one), one.kind == "note") for one in token.inner)
                if token.kind in ("note", "chord"):
                    last = inner or 1
                    heads += last
                elif token.kind == "grace":
                    heads += inner
                ties += last if token.kind == "tie" else 0
                ties += sum(one.kind == "tie" for one in token.inner)
    return heads, ties


def _notes(token: Token) -> int:
    """Notes of a chord."""
    return sum(one.kind == "note" for one in token.inner)


def _longest(tune: Tune) -> tuple[int, float]:
    """Number of the bar that is longest for its metre, and how many metres it lasts."""
    metre = tune.metre
    found, longest = 1, Fraction(0)
    for number, voices in enumerate(tune.bars, start=1):
        for field in _METRE.findall(next(iter(voices.values())).text):
            metre = parse_metre(field)
        durations = [bar_duration(bar.text) or 0 for bar in voices.values()]
        length = max(durations) * tune.unit_length / (metre or _FREE)
        if length > longest:
            found, longest = number, length
    return found, float(longest)
