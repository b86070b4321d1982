"""Ties that lead from one voice of a staff into another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from music21 import chord, note, stream, tie


def join_ties(measures: Iterable[stream.Measure]) -> None:
    """End each tie of a staff at the note it reaches, whichever voice that note is in.

    ABC's ties belong to a voice, those of a score may change it; a notation program that finds no
    end for a tie draws it across the page.
    """
    waiting: dict[tuple[Fraction, str], note.Note] = {}  # by where the tie should end
    for onset, end, one in sorted(_notes(measures), key=lambda timed: timed[:2]):
        name = one.pitch.nameWithOctave
        if waiting.pop((onset, name), None) is not None:
            if one.tie is None:
                one.tie = tie.Tie("stop")
            elif one.tie.type == "start":
                one.tie = tie.Tie("continue")
        if one.tie is not None and one.tie.type in ("start", "continue"):
            waiting[end, name] = one


def _notes(measures: Iterable[stream.Measure]) -> Iterator[tuple[Fraction, Fraction, note.Note]]:
    """Yield onset and end from the piece's start, in quarters, and note; a chord's one by one."""
    for measure in measures:
        for voice in measure.voices or [measure]:
            for element in voice.getElementsByClass(note.NotRest):
                if not element.duration.isGrace:
                    onset = Fraction(measure.offset) + Fraction(element.offset)
                    end = onset + Fraction(element.duration.quarterLength)
                    for one in element.notes if isinstance(element, chord.Chord) else (element,):
                        if isinstance(one, note.Note):
                            yield onset, end, one
