"""A music21 score as a Tune in NotaGen's ABC dialect."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from music21 import chord, note, stream

from notagen.notation.tune import Bar, Tune
from notagen.scores.bar_writing import VoiceWriter
from notagen.scores.barlines import barlines
from notagen.scores.errors import ScoreError
from notagen.scores.layers import Layer
from notagen.scores.opening import read_opening
from notagen.scores.spans import Place, Spans
from notagen.scores.staves import Staff, score_line, staves, voice_lines


def from_music21(score: stream.Score) -> Tune:
    """Write a score as ABC: one voice for each layer of each staff, all bars filled with rests.

    Bars of unequal length are filled up to the longest part's, and parts that end early get bars
    of rest, so that the voices stay aligned. Lyrics, pedal marks and layout are left out.

    Raises:
        ScoreError: the score has no measures, or an accidental beyond double sharps and flats.
    """
    if not any(part.hasMeasures() for part in score.parts):
        raise ScoreError("The score has no measures; call makeMeasures() on its parts first.")
    staffs = staves(score)
    opening = read_opening(staffs)
    spans = Spans(score.spannerBundle, _places(staffs))
    left, right = barlines([staff.part for staff in staffs])
    lengths = _bar_lengths(staffs)
    bars: list[dict[str, Bar]] = [{} for _ in lengths]
    for staff in staffs:
        for row, voice in enumerate(staff.voices):
            writer = VoiceWriter(staff, opening, spans)
            for index, length in enumerate(lengths):
                text = writer.bar(_layer(staff, index, row), length, empty="x" if row else "z")
                bars[index][voice] = Bar(text, right[index], "" if index else left)
    header = (score_line(score, staffs), *opening.lines, *voice_lines(score, staffs))
    return Tune(header, tuple(bars))


def _layer(staff: Staff, index: int, row: int) -> Layer:
    """Return a layer of a bar; an empty one where the part or the bar has no more."""
    if index < len(staff.bars) and row < len(staff.bars[index]):
        return staff.bars[index][row]
    return Layer()


def _bar_lengths(staffs: Sequence[Staff]) -> list[Fraction]:
    """Return the length of each bar in eighths: the longest of any part's."""
    count = max(len(staff.bars) for staff in staffs)
    return [
        max(layer.end for staff in staffs for layer in (staff.bars[i] if i < len(staff.bars) else ()))
        for i in range(count)
    ]


def _places(staffs: Sequence[Staff]) -> dict[int, Place]:
    """Return voice and running number of each note, by the note's ``id()``; a chord's for each of its notes."""
    places: dict[int, Place] = {}
    for staff in staffs:
        for bar in staff.bars:
            for voice, layer in zip(staff.voices, bar, strict=False):
                for event in layer.events:
                    if isinstance(event.element, note.GeneralNote):
                        place = (voice, len(places))
                        places[id(event.element)] = place
                        if isinstance(event.element, chord.ChordBase):
                            places.update((id(member), place) for member in event.element.notes)
    return places
