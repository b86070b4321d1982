"""How a bar's durations are written: beams as missing blanks, tuplets, broken rhythm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from music21 import note
from music21.base import Music21Object

from notagen.scores.layers import Event
from notagen.scores.tuplets import find_tuplets

_QUARTER = Fraction(2)
_LONG_SHORT = {Fraction(3): ">", Fraction(1, 3): "<"}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What stands around a note for its duration: ``{lead}note{length}{broken}``."""

    lead: str  # a blank unless a beam goes on, and the tuplet that begins here
    length: Fraction  # as written, in eighths
    broken: str = ""  # > or < when this note and the next share their time unequally


def write_rhythm(notes: Sequence[Event], bar_end: Fraction, beat: Fraction | None) -> list[Rhythm]:
    """Return the written rhythm of a bar's notes and rests, in order.

    Notes are beamed as the score beams them; or, given the length of a beat, within each beat.
    """
    tuplets = find_tuplets(notes)
    written: list[Rhythm] = []
    swing = False
    for index, (event, (tuplet, length)) in enumerate(zip(notes, tuplets, strict=True)):
        joined = index > 0 and _joined(notes[index - 1], event, bar_end, beat)
        lead = ("" if joined else " ") + (str(tuplet) if tuplet else "")
        broken = ""
        if swing:
            length = (length + notes[index - 1].length) / 2
        elif index + 1 < len(notes) and _joined(event, notes[index + 1], bar_end, beat):
            broken = _broken(event, notes[index + 1])
            length = (length + notes[index + 1].length) / 2 if broken else length
        swing = bool(broken)
        written.append(Rhythm(lead, length, broken))
    return written


def _joined(left: Event, right: Event, bar_end: Fraction, beat: Fraction | None) -> bool:
    """Whether a beam runs from one note to the next."""
    if beat is None:
        return _beam(left) in ("start", "continue") and _beam(right) in ("continue", "stop")
    return (
        all(isinstance(n.element, note.NotRest) and n.length < _QUARTER for n in (left, right))
        and left.onset + left.length == right.onset
        # Counted from the bar's end, an upbeat falls on the same beats as a full bar.
        and (left.onset - bar_end) // beat == (right.onset - bar_end) // beat
    )


def _beam(event: Event) -> str | None:
    """Return how a note's first beam goes on: start, continue, stop, or None."""
    element: Music21Object = event.element
    beams = element.beams.beamsList if isinstance(element, note.NotRest) else ()
    return beams[0].type if beams else None


def _broken(left: Event, right: Event) -> str:
    """Return ``>`` for dotted and short, ``<`` for short and dotted, of a halved plain length."""
    if left.element.duration.tuplets or right.element.duration.tuplets or left.element.tie:
        return ""
    half = (left.length + right.length) / 2
    plain = half.numerator == 1  # an eighth, a sixteenth ...
    return _LONG_SHORT.get(left.length / right.length, "") if plain else ""
