"""One measure of one staff, from the voices that share it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from music21 import clef, harmony, key, meter, note, stream
from music21.base import Music21Object

from notagen.scores.note_reading import make_duration
from notagen.scores.voice_reading import Placed

# What every voice of a staff says, and the staff prints once.
_STAFF_WIDE = (clef.Clef, key.KeySignature, meter.TimeSignature)


def make_measure(
    voices: Sequence[Sequence[Placed]], length: Fraction, first: Iterable[Music21Object] = ()
) -> stream.Measure:
    """Put the voices' elements (onsets in quarters) into a measure that lasts so many quarters.

    Voices of nothing but hidden rests are left out, unless all are so. ``first`` are the clef,
    key and metre that hold where the voices begin with no others.
    """
    measure = stream.Measure()
    said: dict[tuple[Fraction, type], Music21Object] = {}
    for onset, element in [*((Fraction(0), one) for one in first), *_marks(voices)]:
        kind = next((kind for kind in _STAFF_WIDE if isinstance(element, kind)), None)
        if kind is not None:
            said[onset, kind] = element
        else:
            measure.insert(onset, element)
    for (onset, _), element in said.items():
        measure.insert(onset, element)
    rows = [[(onset, one) for onset, one in voice if _is_note(one)] for voice in voices]
    sounding = [row for row in rows if not all(map(_is_hidden, row))] or rows[:1]
    for number, row in enumerate(sounding, start=1):
        target = measure if len(sounding) == 1 else stream.Voice(id=str(number))
        _fill(target, row, length)
        if target is not measure:
            measure.insert(0, target)
    return measure


def _marks(voices: Sequence[Sequence[Placed]]) -> Iterable[Placed]:
    return ((onset, one) for voice in voices for onset, one in voice if not _is_note(one))


def _fill(target: stream.Stream, row: Sequence[Placed], length: Fraction) -> None:
    """Insert notes and rests, and a hidden rest up to the end of the bar."""
    end = Fraction(0)
    for onset, element in row:
        target.insert(onset, element)
        end = max(end, onset + Fraction(element.duration.quarterLength))
    if end < length:
        filler = note.Rest(duration=make_duration(length - end))
        filler.style.hideObjectOnPrint = True
        target.insert(end, filler)


def _is_note(element: Music21Object) -> bool:
    return isinstance(element, note.GeneralNote) and not isinstance(element, harmony.Harmony)


def _is_hidden(placed: Placed) -> bool:
    return placed[1].hasStyleInformation and bool(placed[1].style.hideObjectOnPrint)
