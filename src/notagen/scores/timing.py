"""When the notes of a measure sound, and for how long, as their notation says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from music21 import duration, note, stream
from music21.base import Music21Object

EIGHTHS_PER_QUARTER = 2  # the unit of all lengths here is ABC's L:1/8

_FINEST = 192  # the largest divisor of an eighth that is taken as meant
_TUPLETS = 96  # the largest to look for when it is not
_ROUNDING = Fraction(1, 12)  # of its written length, by which a note may be miscounted


def eighths(quarters: float | Fraction) -> Fraction:
    """Turn music21's quarter lengths into eighths.

    Exact, but for the fractions that no notation has: files that count in 1024ths of a quarter
    round their triplets, and 341/1024 means a third.
    """
    exact = Fraction(quarters) * EIGHTHS_PER_QUARTER
    return exact if exact.denominator <= _FINEST else exact.limit_denominator(_TUPLETS)


def timed(voice: stream.Stream) -> Iterator[tuple[Fraction, Fraction, Music21Object]]:
    """Yield onset and length, in eighths, and element for what stands in a measure or voice.

    Some editors count so many parts to the quarter that its eighth is no whole number of them, 17
    for instance, and round. A note that is so miscounted lasts as long as it is written, and what
    follows it moves along.
    """
    moved: dict[Fraction, Fraction] = {}  # from the end of a note as counted to that as written
    for element in voice:
        if isinstance(element, stream.Stream):
            continue
        counted = eighths(element.offset)
        onset = moved.get(counted, counted)
        length = eighths(element.duration.quarterLength)
        written = length
        if isinstance(element, note.GeneralNote) and length:
            written = _written(element.duration, length)
            moved[counted + length] = onset + written
        yield onset, written, element


def is_miscounted(element: Music21Object) -> bool:
    """Whether a note lasts otherwise than its file counts."""
    length = eighths(element.duration.quarterLength)
    return _written(element.duration, length) != length


def _written(length: duration.Duration, counted: Fraction) -> Fraction:
    """Return a length as notated, in eighths, where it is the counted one but for rounding."""
    if length.linked or length.isGrace:
        return counted
    quarters = duration.convertTypeToQuarterLength(length.type, length.dots, length.tuplets)
    written = eighths(quarters)
    return written if abs(written - counted) <= _ROUNDING * written else counted
