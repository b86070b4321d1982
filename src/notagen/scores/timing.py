"""When the notes of a measure sound, and for how long, as their notation says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from music21 import duration, note, stream
from music21.base import Music21Object

EIGHTHS_PER_QUARTER = 2  # the unit of all lengths here is ABC's L:1/8

_FINEST = 192  # the largest divisor of an eighth that is taken as meant
_TUPLETS = 96  # the largest to look for when it is not
_TICKS_PER_QUARTER = 20160  # fine enough to tell two onsets apart, too coarse for rounding errors
_ROUNDING = Fraction(1, 12)  # of its written length, by which a note may be miscounted


@lru_cache(maxsize=1 << 14)
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
    moved: dict[int, Fraction] = {}  # from the end of a note as counted, in ticks, to its real end
    for element in voice.elements:  # to iterate over the stream itself takes twice as long
        if isinstance(element, stream.Stream):
            continue
        counted = voice.elementOffset(element)
        onset = moved.get(_ticks(counted), eighths(counted))
        length = _written(element.duration)
        if isinstance(element, note.GeneralNote) and length:
            moved[_ticks(counted + element.duration.quarterLength)] = onset + length
        yield onset, length, element


def is_miscounted(element: Music21Object) -> bool:
    """Whether a note lasts otherwise than its file counts."""
    return _written(element.duration) != eighths(element.duration.quarterLength)


@lru_cache(maxsize=1 << 14)
def _ticks(quarters: float | Fraction) -> int:
    return round(quarters * _TICKS_PER_QUARTER)


def _written(length: duration.Duration) -> Fraction:
    """Return a length in eighths: as notated, where that is as counted but for rounding."""
    counted = eighths(length.quarterLength)
    if length.linked or length.isGrace:
        return counted
    quarters = duration.convertTypeToQuarterLength(length.type, length.dots, length.tuplets)
    written = eighths(quarters)
    return written if abs(written - counted) <= _ROUNDING * written else counted
