"""Agreement of two music21 scores: F1 of notes, ties, slurs and other marks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from music21 import bar, chord, dynamics, expressions, note, spanner, stream
from music21.base import Music21Object

from notagen.scores.layers import eighths, is_miscounted, is_printed_note, timed


class Agreement(NamedTuple):
    """How many items of one kind two scores hold, and how many they have in common."""

    original: int
    rebuilt: int
    common: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 when neither score has such items."""
        total = self.original + self.rebuilt
        return 2 * self.common / total if total else 1.0


_TICKS_PER_EIGHTH = 240

Items = defaultdict[str, Counter[tuple[object, ...]]]


def compare(original: stream.Score, rebuilt: stream.Score) -> dict[str, Agreement]:
    """Compare two scores item by item, by kind of item.

    A note is its part, bar (both counted from 0), onset in the bar, spelled pitch and duration; a
    note of a chord counts by itself, and hidden notes do not count. Other kinds are ``chords``,
    ``ties`` (that begin), ``fermatas``, ``graces``, ``tuplets``, ``articulations``, ``ornaments``,
    ``slurs`` (from one note to another), ``repeats`` and ``endings``, each with its place, and
    ``dynamics`` and ``wedges`` with their bar: where in it editors put them is a matter of looks.
    A mark that a file doubles on a note counts once. Times are those of
    :func:`notagen.scores.layers.timed`; ``miscounted`` tells how many notes it sets right.
    """
    left, right = _items(original), _items(rebuilt)
    return {
        kind: Agreement(left[kind].total(), right[kind].total(), (left[kind] & right[kind]).total())
        for kind in sorted({*left, *right, "notes", "ties", "fermatas"})
    }


def add(total: dict[str, Agreement], more: dict[str, Agreement]) -> dict[str, Agreement]:
    """Add up two comparisons, kind by kind."""
    none = Agreement(0, 0, 0)
    return {
        kind: Agreement(*map(sum, zip(total.get(kind, none), more.get(kind, none), strict=True)))
        for kind in sorted({*total, *more})
    }


def _items(score: stream.Score) -> Items:
    items: Items = defaultdict(Counter)
    places: dict[int, tuple[object, ...]] = {}
    for number, part in enumerate(score.parts):
        bars = {id(one): i for i, one in enumerate(part.getElementsByClass(stream.Measure))}
        for bracket in part.getElementsByClass(spanner.RepeatBracket):
            first, last = bars.get(id(bracket.getFirst())), bars.get(id(bracket.getLast()))
            items["endings"][number, first, last, tuple(bracket.numberRange)] += 1
        for index, measure in enumerate(part.getElementsByClass(stream.Measure)):
            _add_repeats(items, (number, index), measure)
            for onset, length, element in _elements(measure):
                place = (number, index, _ticks(onset))
                if isinstance(element, dynamics.Dynamic):
                    items["dynamics"][number, index, element.value] += 1
                elif is_printed_note(element):
                    _add_note(items, place, length, element)
                if isinstance(element, note.GeneralNote):
                    places[id(element)] = place
    for span in score.spannerBundle:
        first, last = span.getFirst(), span.getLast()
        if id(first) in places and id(last) in places:
            if isinstance(span, spanner.Slur) and first is not last:
                items["slurs"][places[id(first)], places[id(last)]] += 1
            elif isinstance(span, dynamics.DynamicWedge):
                items["wedges"][type(span), *places[id(last)][:2]] += 1
    return items


def _ticks(length: Fraction) -> int:
    """Round eighths: MusicXML counts in whole divisions, which thirds of sevenths don't survive."""
    return round(length * _TICKS_PER_EIGHTH)


def _elements(measure: stream.Measure) -> Iterator[tuple[Fraction, Fraction, Music21Object]]:
    """Yield onset and length in eighths, and element, of a measure and its voices."""
    yield from timed(measure)
    for voice in measure.voices:
        for onset, length, element in timed(voice):
            yield eighths(voice.offset) + onset, length, element


def _add_note(
    items: Items, place: tuple[object, ...], length: Fraction, element: Music21Object
) -> None:
    grace = element.duration.isGrace
    members = element.notes if isinstance(element, chord.ChordBase) else (element,)
    names = [_name(one) for one in members]
    for one, name in zip(members, names, strict=True):
        items["graces" if grace else "notes"][*place, name, _ticks(length)] += 1
        if one.tie is not None and one.tie.type in ("start", "continue"):
            items["ties"][*place, name] += 1
        if element.duration.tuplets and not grace:
            items["tuplets"][*place, name, element.duration.aggregateTupletMultiplier()] += 1
    if len(names) > 1:
        items["chords"][*place, *sorted(names)] += 1
    if is_miscounted(element):
        items["miscounted"][place] += 1
    for mark in {type(mark) for mark in element.articulations}:
        items["articulations"][*place, mark] += 1
    for mark in {type(mark) for mark in element.expressions}:
        kind = "fermatas" if issubclass(mark, expressions.Fermata) else "ornaments"
        items[kind][*place, mark] += 1


def _name(one: Music21Object) -> str:
    pitch = one.pitch if isinstance(one, note.Note) else one.displayPitch()
    return str(pitch.nameWithOctave)


def _add_repeats(items: Items, place: tuple[int, int], measure: stream.Measure) -> None:
    for line in (measure.leftBarline, measure.rightBarline):
        if isinstance(line, bar.Repeat):
            items["repeats"][*place, line.direction] += 1
