"""A music21 score as a Tune in NotaGen's ABC dialect."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from music21 import chord, note, stream

from notagen.notation import Bar, Tune
from notagen.scores.bar_writing import VoiceWriter
from notagen.scores.barlines import barlines
from notagen.scores.errors import ScoreError
from notagen.scores.opening import read_opening
from notagen.scores.spans import Place, Spans
from notagen.scores.staves import Staff, score_line, staves, voice_lines

_WHOLE_NOTE = Fraction(8)  # eighths


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
                try:
                    text = writer.bar(staff.bars[index][row], length, empty="x" if row else "z")
                except ScoreError as error:
                    raise ScoreError(f"bar {index + 1}, voice {voice}: {error}") from error
                bars[index][voice] = Bar(text, right[index], "" if index else left)
    header = (score_line(score, staffs), *opening.lines, *voice_lines(score, staffs))
    return Tune(header, tuple(bars))


def _bar_lengths(staffs: Sequence[Staff]) -> list[Fraction]:
    """Return the length of each bar in eighths: its longest voice's; the last bar's when empty."""
    lengths: list[Fraction] = []
    for bar in zip(*(staff.bars for staff in staffs), strict=True):
        longest = max(layer.end for rows in bar for layer in rows)
        lengths.append(longest or (lengths[-1] if lengths else _WHOLE_NOTE))
    return lengths


def _places(staffs: Sequence[Staff]) -> dict[int, Place]:
    """Return voice and running number of each note, by its ``id()`` and those of its chord."""
    places: dict[int, Place] = {}
    for staff in staffs:
        for bar in staff.bars:
            for voice, layer in zip(staff.voices, bar, strict=True):
                for event in layer.events:
                    if isinstance(event.element, note.GeneralNote):
                        place = (voice, len(places))
                        places[id(event.element)] = place
                        if isinstance(event.element, chord.ChordBase):
                            places.update((id(member), place) for member in event.element.notes)
    return places
