"""Ties between the notes of a staff, whichever of its voices they are in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from music21 import chord, note, stream, tie


def join_ties(measures: Iterable[stream.Measure]) -> None:
    """End each tie of a staff at the note it reaches, whichever voice that note is in.

    A tie of ABC stays in its voice, in a score it may end in another. One that reaches no note of
    its pitch is left out: a notation program that finds no end for a tie draws it across the page.
    """
    begun: list[note.NotRest] = []
    ended: set[int] = set()  # ids of notes whose tie reaches another
    waiting: dict[tuple[Fraction, str], note.NotRest] = {}  # by onset and pitch of the tie's end
    for onset, end, one in sorted(_notes(measures), key=lambda timed: timed[:2]):
        name = _place(one)
        before = waiting.pop((onset, name), None)
        goes_on = one.tie is not None and one.tie.type in ("start", "continue")
        if before is not None:
            ended.add(id(before))
        one.tie = _tie(begins=goes_on, ends=before is not None)
        if goes_on:
            waiting[end, name] = one
            begun.append(one)
    for one in begun:
        if id(one) not in ended:
            one.tie = _tie(begins=False, ends=one.tie.type == "continue")


def _tie(*, begins: bool, ends: bool) -> tie.Tie | None:
    if begins:
        return tie.Tie("continue" if ends else "start")
    return tie.Tie("stop") if ends else None


def _notes(measures: Iterable[stream.Measure]) -> Iterator[tuple[Fraction, Fraction, note.NotRest]]:
    """Yield onset and end, in quarters from the piece's start, of each note, also in chords."""
    for measure in measures:
        for voice in measure.voices or [measure]:
            for element in voice.getElementsByClass(note.NotRest):
                if not element.duration.isGrace:
                    onset = Fraction(measure.offset) + Fraction(element.offset)
                    end = onset + Fraction(element.duration.quarterLength)
                    for one in element.notes if isinstance(element, chord.ChordBase) else [element]:
                        if isinstance(one, note.Note | note.Unpitched):
                            yield onset, end, one


def _place(one: note.NotRest) -> str:
    """Pitch of a note, or the place of a percussion note on its staff."""
    pitched = isinstance(one, note.Note)
    return str((one.pitch if pitched else one.displayPitch()).nameWithOctave)
