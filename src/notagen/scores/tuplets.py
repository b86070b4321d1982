"""Which notes of a layer ABC writes as tuplets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from music21 import duration

from notagen.scores.layers import Event


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
    """Return, for each note of a bar, the tuplet that it opens and its written length in eighths.

    Tuplets within tuplets become one tuplet of the product of their ratios. Ratios that ABC's one
    digit can't name are written out as lengths, without a tuplet.
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
    """Return (notes, in the time of) for a note in a tuplet that ABC can name, else None."""
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
    """Return the index after the last note of the tuplet that begins at ``start``.

    It ends where the score says so; where the score is silent, with the first note that completes
    a plain (undivided) length; and at the latest where the ratio changes or the notes break off.
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
    return length.denominator & (length.denominator - 1) == 0
