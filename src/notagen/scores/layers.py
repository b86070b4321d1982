"""Layers of a staff: the voices of a music21 measure, each event with its exact time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache

from music21 import chord, clef, duration, harmony, key, meter, note, stream, tempo
from music21.base import Music21Object

# Printed once per staff, whichever of its voices they stand in.
STAFF_WIDE = (clef.Clef, key.KeySignature, meter.TimeSignature)
# At one onset these come first, in this order, then other marks, then notes.
_FIELDS = (*STAFF_WIDE, tempo.TempoIndication)

EIGHTHS_PER_QUARTER = 2  # the unit of all lengths here is ABC's L:1/8

_MAX_DIVISOR = 192  # of an eighth, as files count; larger ones come from rounding
_MAX_ROUNDED_DIVISOR = 96  # of the fraction that replaces a rounded one
_TICKS_PER_QUARTER = 20160  # fine enough to separate two onsets, too coarse for rounding errors
_ROUNDING = Fraction(1, 12)  # of its written length, by which a note may be miscounted


@dataclass(slots=True)
class Event:
    """A note, chord, rest or mark of a layer; ``onset`` and ``length`` in eighths."""

    onset: Fraction
    element: Music21Object
    length: Fraction = Fraction(0)


@dataclass(slots=True)
class Layer:
    """One voice in one measure; ``end`` is where its last note ends, in eighths."""

    events: list[Event] = field(default_factory=list)
    end: Fraction = Fraction(0)


def sounding_voices(part: stream.Part) -> set[str]:
    """Ids of the voices that hold printed notes anywhere in a part.

    Other voices hold rests, or hidden notes that make a program play a trill, and are left out.
    """
    return {
        str(voice.id)
        for measure in part.getElementsByClass(stream.Measure)
        for voice in _voices(measure)
        if any(map(is_printed_note, voice.elements))
    }


def is_printed_note(element: Music21Object) -> bool:
    """True if an element is a note or chord that is not hidden."""
    return isinstance(element, note.NotRest) and not is_hidden(element)


def is_hidden(element: Music21Object) -> bool:
    """True for an element that is not printed, and for a chord of such notes."""
    if element.hasStyleInformation and element.style.hideObjectOnPrint:
        return True
    return isinstance(element, chord.ChordBase) and all(map(is_hidden, element.notes))


def split_layers(measure: stream.Measure, sounding: Collection[str]) -> list[Layer]:
    """Cut a measure into layers: one for each sounding voice, then more for notes that overlap.

    Elements outside of any voice belong to the first layer. Clefs, keys and metres are repeated in
    every layer, other marks go to the first layer with a note at their onset.
    """
    voices = sorted((v for v in _voices(measure) if str(v.id) in sounding), key=_voice_order)
    layers = [Layer() for _ in voices or [None]]
    marks: list[Event] = []
    for home, event in _events(measure, voices):
        if is_note(event.element):
            layer = _layer_with_room(layers, home, max(len(voices), 1), event)
            layer.events.append(event)
            layer.end = event.onset + event.length
        else:
            marks.append(Event(event.onset, event.element))
    for mark in marks:
        for layer in layers if _is_staff_wide(mark) else [_layer_at(layers, mark.onset)]:
            layer.events.append(mark)
    for layer in layers:
        layer.events.sort(key=_order)
    return layers


def with_silent_layers(layers: Sequence[Layer], count: int) -> tuple[Layer, ...]:
    """Add layers without notes up to ``count``, with the staff's clefs, keys and metres."""
    marks = [event for layer in layers[:1] for event in layer.events if _is_staff_wide(event)]
    return (*layers, *(Layer(list(marks)) for _ in range(count - len(layers))))


def is_note(element: Music21Object) -> bool:
    """True for a note, chord or rest: music21's chord symbols are chords too."""
    return isinstance(element, note.GeneralNote) and not isinstance(element, harmony.Harmony)


def _is_staff_wide(event: Event) -> bool:
    return isinstance(event.element, STAFF_WIDE)


def _events(measure: stream.Measure, voices: Sequence[stream.Voice]) -> Iterator[tuple[int, Event]]:
    """Yield all events of a measure, each with the index of its layer.

    Of voices that do not sound, marks are kept, in the first layer, and notes are dropped.
    """
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
    """By number for ids that are numbers: 2 before 10; voices without an id as they stand."""
    if voice.id == id(voice):  # music21 takes the place in memory for the id
        return 0, ""
    return len(str(voice.id)), str(voice.id)


def _layer_with_room(layers: list[Layer], home: int, n_voices: int, event: Event) -> Layer:
    """The event's own layer, or if a note still sounds there, an extra one behind the voices'."""
    for layer in (layers[home], *layers[n_voices:]):
        if event.onset >= layer.end:
            return layer
    layers.append(Layer())
    return layers[-1]


def _layer_at(layers: Sequence[Layer], onset: Fraction) -> Layer:
    """The first layer with an event at an onset, else the first of all."""
    return next((one for one in layers if any(e.onset == onset for e in one.events)), layers[0])


def _order(event: Event) -> tuple[Fraction, int]:
    for rank, kind in enumerate(_FIELDS):
        if isinstance(event.element, kind):
            return event.onset, rank
    return event.onset, len(_FIELDS) + is_note(event.element)


@lru_cache(maxsize=1 << 14)
def eighths(quarters: float | Fraction) -> Fraction:
    """Convert music21's quarter lengths to eighths.

    Exact, except for fractions that no notation has: files that count in 1024ths of a quarter
    round their triplets, and 341/1024 means a third.
    """
    exact = Fraction(quarters) * EIGHTHS_PER_QUARTER
    if exact.denominator <= _MAX_DIVISOR:
        return exact
    return exact.limit_denominator(_MAX_ROUNDED_DIVISOR)


def timed(voice: stream.Stream) -> Iterator[tuple[Fraction, Fraction, Music21Object]]:
    """Yield onset and length, in eighths, and element of all but the streams in a measure or voice.

    Some editors divide the quarter into an odd number of parts, 17 for instance, and round its
    eighths. The length of a note that is miscounted by this is taken as written, and later notes
    move along.
    """
    moved: dict[int, Fraction] = {}  # end of a note as counted, in ticks, to its end as written
    for element in voice.elements:  # iteration over the stream itself takes twice as long
        if isinstance(element, stream.Stream):
            continue
        counted = voice.elementOffset(element)
        onset = moved.get(_ticks(counted), eighths(counted))
        length = _written(element.duration)
        if isinstance(element, note.GeneralNote) and length:
            moved[_ticks(counted + element.duration.quarterLength)] = onset + length
        yield onset, length, element


def is_miscounted(element: Music21Object) -> bool:
    """True if a note's length as its file counts it is a rounding of its written length."""
    return _written(element.duration) != eighths(element.duration.quarterLength)


@lru_cache(maxsize=1 << 14)
def _ticks(quarters: float | Fraction) -> int:
    return round(quarters * _TICKS_PER_QUARTER)


def _written(length: duration.Duration) -> Fraction:
    """A length in eighths: as notated where it differs by rounding alone, else as counted."""
    counted = eighths(length.quarterLength)
    if length.linked or length.isGrace:  # linked: music21 derives one from the other
        return counted
    quarters = duration.convertTypeToQuarterLength(length.type, length.dots, length.tuplets)
    written = eighths(quarters)
    return written if abs(written - counted) <= _ROUNDING * written else counted
