"""Layers of a staff: the voices of a measure, each event with its exact time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from music21 import clef, duration, harmony, key, meter, note, stream, tempo
from music21.base import Music21Object

# At one onset fields come first, in this order, then other marks, then notes.
_FIELDS = (clef.Clef, key.KeySignature, meter.TimeSignature, tempo.TempoIndication)
_STAFF_WIDE = (clef.Clef, key.KeySignature, meter.TimeSignature)

EIGHTHS_PER_QUARTER = 2  # the unit of all lengths here is ABC's L:1/8

_FINEST = 192  # the largest divisor of an eighth that is taken as meant
_TUPLETS = 96  # the largest to look for when it is not
_TICKS_PER_QUARTER = 20160  # fine enough to tell two onsets apart, too coarse for rounding errors
_ROUNDING = Fraction(1, 12)  # of its written length, by which a note may be miscounted


@dataclass(slots=True)
class Event:
    """A note, chord, rest or mark of a layer; ``onset`` and ``length`` in eighths."""

    onset: Fraction
    element: Music21Object
    length: Fraction = Fraction(0)


@dataclass(slots=True)
class Layer:
    """One row of music in one measure; ``end`` is where its last note ends, in eighths."""

    events: list[Event] = field(default_factory=list)
    end: Fraction = Fraction(0)


def sounding_voices(part: stream.Part) -> set[str]:
    """Name the voices that hold printed notes anywhere in a part.

    The others hold rests, or hidden notes that tell a player how to play a trill: they are no
    part of the score.
    """
    return {
        str(voice.id)
        for measure in part.getElementsByClass(stream.Measure)
        for voice in _voices(measure)
        if any(map(is_printed_note, voice.elements))
    }


def is_printed_note(element: Music21Object) -> bool:
    """True if an element is a note or chord that stands in the printed score."""
    return isinstance(element, note.NotRest) and not (
        element.hasStyleInformation and element.style.hideObjectOnPrint
    )


def layers(measure: stream.Measure, sounding: Collection[str]) -> list[Layer]:
    """Cut a measure into layers: one for each sounding voice, then more for notes that overlap.

    What stands in no voice belongs to the first layer. Clefs, keys and metres come in every layer,
    other marks in the first with a note at their onset.
    """
    voices = sorted((v for v in _voices(measure) if str(v.id) in sounding), key=_voice_order)
    rows = [Layer() for _ in voices or [None]]
    marks: list[Event] = []
    for home, event in _events(measure, voices):
        if _is_note(event.element):
            row = _row_with_room(rows, home, max(len(voices), 1), event)
            row.events.append(event)
            row.end = event.onset + event.length
        else:
            marks.append(Event(event.onset, event.element))
    for mark in marks:
        for row in rows if _is_staff_wide(mark) else [_row_at(rows, mark.onset)]:
            row.events.append(mark)
    for row in rows:
        row.events.sort(key=_order)
    return rows


def with_rows(rows: Sequence[Layer], count: int) -> tuple[Layer, ...]:
    """Add silent layers up to ``count``, which have the staff's clefs, keys and metres."""
    marks = [event for row in rows[:1] for event in row.events if _is_staff_wide(event)]
    return (*rows, *(Layer(list(marks)) for _ in range(count - len(rows))))


def _is_staff_wide(event: Event) -> bool:
    return isinstance(event.element, _STAFF_WIDE)


def _events(measure: stream.Measure, voices: Sequence[stream.Voice]) -> Iterator[tuple[int, Event]]:
    """Yield everything in a measure, each with the layer it belongs to."""
    for onset, length, element in timed(measure):
        yield 0, Event(onset, element, length)
    for voice in _voices(measure):
        home = next((i for i, other in enumerate(voices) if other is voice), None)
        for onset, length, element in timed(voice):
            if home is not None or not isinstance(element, note.GeneralNote):
                yield home or 0, Event(eighths(voice.offset) + onset, element, length)


def _voices(measure: stream.Measure) -> list[stream.Voice]:
    return [element for element in measure.elements if isinstance(element, stream.Voice)]


def _voice_order(voice: stream.Voice) -> tuple[int, str]:
    return len(str(voice.id)), str(voice.id)


def _row_with_room(rows: list[Layer], home: int, voices: int, event: Event) -> Layer:
    """Return the event's own layer, or where that is taken, one beyond the voices'."""
    for row in (rows[home], *rows[voices:]):
        if event.onset >= row.end:
            return row
    rows.append(Layer())
    return rows[-1]


def _row_at(rows: Sequence[Layer], onset: Fraction) -> Layer:
    """Return the first layer with a note at an onset, else the first of all."""
    return next((row for row in rows if any(e.onset == onset for e in row.events)), rows[0])


def _order(event: Event) -> tuple[Fraction, int]:
    for rank, kind in enumerate(_FIELDS):
        if isinstance(event.element, kind):
            return event.onset, rank
    return event.onset, len(_FIELDS) + _is_note(event.element)


def _is_note(element: Music21Object) -> bool:
    # A chord symbol is a chord in music21's eyes, but a mark in ours.
    return isinstance(element, note.GeneralNote) and not isinstance(element, harmony.Harmony)


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

    Some editors divide the quarter into parts of which an eighth is no whole number, 17
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
    """True if a note lasts longer or shorter than its written value."""
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
