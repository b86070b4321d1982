"""Rhythm of music21 notes in ABC: note lengths, beams, broken rhythm, tuplets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from music21 import duration, note
from music21.base import Music21Object

from notagen.scores.layers import Event

_QUARTER = Fraction(2)
_LONG_SHORT = {Fraction(3): ">", Fraction(1, 3): "<"}


@dataclass(frozen=True, slots=True)
class Rhythm:
    """ABC around a note for its duration: ``{lead}note{length}{broken}``."""

    lead: str  # a blank unless a beam continues, and the tuplet that begins here
    length: Fraction  # as written, in eighths
    broken: str = ""  # > or < between this note and the next


def write_rhythm(notes: Sequence[Event], bar_end: Fraction, beat: Fraction | None) -> list[Rhythm]:
    """The written rhythm of a bar's notes and rests, in order.

    Notes are beamed as in the score; or, given the length of a beat, within each beat.
    """
    tuplets = find_tuplets(notes)
    written: list[Rhythm] = []
    swing = False  # whether this note is the second of a broken pair: C3/2D/ is written C>D
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
    """True if a beam connects two notes that follow each other."""
    if beat is None:
        return _beam(left) in ("start", "continue") and _beam(right) in ("continue", "stop")
    return (
        all(isinstance(n.element, note.NotRest) and n.length < _QUARTER for n in (left, right))
        and left.onset + left.length == right.onset
        # Counted from the bar's end, an upbeat falls on the same beats as a full bar.
        and (left.onset - bar_end) // beat == (right.onset - bar_end) // beat
    )


def _beam(event: Event) -> str | None:
    """Type of a note's first beam: start, continue, stop or partial; None without beams."""
    element: Music21Object = event.element
    beams = element.beams.beamsList if isinstance(element, note.NotRest) else ()
    return beams[0].type if beams else None


def _broken(left: Event, right: Event) -> str:
    """``>`` for a dotted note before a short one, ``<`` for the reverse, empty for other pairs."""
    if left.element.duration.tuplets or right.element.duration.tuplets or left.element.tie:
        return ""
    half = (left.length + right.length) / 2
    plain = half.numerator == 1  # an eighth, a sixteenth ...
    return _LONG_SHORT.get(left.length / right.length, "") if plain else ""


@dataclass(frozen=True, slots=True)
class Tuplet:
    """``count`` notes, ``actual`` of them in the time of ``normal``."""

    actual: int
    normal: int
    count: int

    def __str__(self) -> str:
        if (self.actual, self.normal, self.count) == (3, 2, 3):
            return "(3"
        return f"({self.actual}:{self.normal}:{self.count}"


def find_tuplets(notes: Sequence[Event]) -> list[tuple[Tuplet | None, Fraction]]:
    """For each note of a bar, the tuplet that it opens and its written length in eighths.

    Tuplets within tuplets become one tuplet of the product of their ratios. Ratios beyond ABC's
    single digit are written out as lengths, without a tuplet.
    """
    found: list[tuple[Tuplet | None, Fraction]] = []
    while len(found) < len(notes):
        start = len(found)
        ratio = _ratio(notes[start])
        if ratio is None:
            found.append((None, notes[start].length))
            continue
        actual, normal = ratio
        members = notes[start : _tuplet_end(notes, start, ratio)]
        stretch = Fraction(actual, normal)
        found += [(None, note.length * stretch) for note in members]
        found[start] = (Tuplet(actual, normal, len(members)), found[start][1])
    return found


def _ratio(note: Event) -> tuple[int, int] | None:
    """(actual, normal) of a note's tuplet; None without one, or if ABC can't write it."""
    tuplets: tuple[duration.Tuplet, ...] = note.element.duration.tuplets
    if not tuplets or not note.length:
        return None
    actual, normal = tuplets[0].numberNotesActual, tuplets[0].numberNotesNormal
    if len(tuplets) > 1 or actual > 9:
        product = Fraction(1)
        for tuplet in tuplets:
            product *= Fraction(tuplet.numberNotesActual, tuplet.numberNotesNormal)
        actual, normal = product.numerator, product.denominator
    return (actual, normal) if 2 <= actual <= 9 and actual != normal else None


def _tuplet_end(notes: Sequence[Event], start: int, ratio: tuple[int, int]) -> int:
    """Index after the last note of the tuplet that begins at ``start``.

    It ends where the score marks its end; in a score without such marks, with the first note that
    completes a plain (undivided) length; and at the latest where the ratio changes or a note does
    not follow at once.
    """
    marked = any(t.type for t in notes[start].element.duration.tuplets)
    total = Fraction(0)
    for index in range(start, len(notes)):
        note = notes[index]
        total += note.length
        types = {t.type for t in note.element.duration.tuplets}
        last = index + 1 == len(notes)
        if last or _ratio(notes[index + 1]) != ratio:
            break
        if notes[index + 1].onset != note.onset + note.length:
            break
        if types & {"stop", "startStop"} if marked else _is_plain(total):
            break
    return index + 1


def _is_plain(length: Fraction) -> bool:
    """True if a length in eighths needs no tuplet: its denominator is a power of two."""
    return length.denominator & (length.denominator - 1) == 0
