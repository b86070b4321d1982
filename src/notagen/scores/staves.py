"""The voices of a score: ``%%score`` with its groups, and a ``V:`` line for each voice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from music21 import clef, layout, note, stream

from notagen.scores.fields import clef_name
from notagen.scores.layers import Layer, layers, sounding_voices, with_rows

_BRACKETS = {"brace": ("{", "}"), **dict.fromkeys(("bracket", "square", "line"), ("[", "]"))}


@dataclass(frozen=True, slots=True)
class Staff:
    """A part's bars cut into layers; its voices are the layers, numbered through the score."""

    part: stream.Part
    voices: tuple[str, ...]
    bars: tuple[tuple[Layer, ...], ...]  # [bar][voice]

    @property
    def clef(self) -> clef.Clef:
        """The clef that the staff begins with; treble when the score names none."""
        events = self.bars[0][0].events if self.bars else []
        clefs = [e.element for e in events if not e.onset and isinstance(e.element, clef.Clef)]
        return clefs[0] if clefs else clef.TrebleClef()

    @property
    def beamed(self) -> bool:
        """Whether the score says which notes share a beam."""
        return any(
            isinstance(event.element, note.NotRest) and event.element.beams.beamsList
            for bar in self.bars
            for layer in bar
            for event in layer.events
        )


def staves(score: stream.Score) -> list[Staff]:
    """Cut all parts into layers, and number the layers as ABC voices from 1.

    Parts that end early get silent bars.
    """
    length = max(len(part.getElementsByClass(stream.Measure)) for part in score.parts)
    found: list[Staff] = []
    voices = 0
    for part in score.parts:
        sounding = sounding_voices(part)
        cut = [layers(bar, sounding) for bar in part.getElementsByClass(stream.Measure)]
        cut += [[] for _ in range(length - len(cut))]
        count = max(map(len, cut)) or 1
        bars = tuple(with_rows(rows, count) for rows in cut)
        numbers = tuple(str(voices + n) for n in range(1, count + 1))
        found.append(Staff(part, numbers, bars))
        voices += count
    return found


def score_line(score: stream.Score, staffs: Sequence[Staff]) -> str:
    """Return the ``%%score`` line: staves in order, in the brackets and braces of their groups."""
    index = {id(staff.part): i for i, staff in enumerate(staffs)}
    words = [_staff_word(staff) for staff in staffs]
    joined = [False] * len(staffs)  # whether the barline runs on to the next staff
    groups = [group for group in _groups(score) if all(id(part) in index for part in group)]
    for group in sorted(groups, key=len):  # inner groups close before outer ones
        places = [index[id(part)] for part in group]
        first, last = min(places), max(places)
        opening, closing = _BRACKETS.get(group.symbol, ("", ""))
        words[first] = f"{opening} {words[first]}"
        words[last] = f"{words[last]} {closing}"
        if group.barTogether:
            joined[first:last] = [True] * (last - first)
    line = " ".join(word + " |" * joins for word, joins in zip(words, joined, strict=True))
    return "%%score " + " ".join(line.split())


def voice_lines(score: stream.Score, staffs: Sequence[Staff]) -> Iterator[str]:
    """Yield the ``V:`` lines: number, clef, and on the first voice of a part its name."""
    followers = {
        id(part)
        for group in _groups(score)
        for part in list(group)[1:]
        if isinstance(part, stream.PartStaff)
    }
    for staff in staffs:
        clef_word = clef_name(staff.clef)
        named = id(staff.part) not in followers
        for voice in staff.voices:
            names = _names(staff.part) if named else ""
            yield f"V:{voice} {clef_word} {names}"
            named = False


def _groups(score: stream.Score) -> list[layout.StaffGroup]:
    return [group for group in score.getElementsByClass(layout.StaffGroup) if len(group)]


def _staff_word(staff: Staff) -> str:
    return staff.voices[0] if len(staff.voices) == 1 else f"( {' '.join(staff.voices)} )"


def _names(part: stream.Part) -> str:
    words = []
    instrument = part.getInstrument(returnDefault=False)
    interval = getattr(instrument, "transposition", None)
    if interval is not None and interval.semitones:
        words.append(f"transpose={interval.semitones}")
    for label, name in (("nm", part.partName), ("snm", part.partAbbreviation)):
        plain = " ".join((name or "").replace('"', "'").split())
        if plain:
            words.append(f'{label}="{plain}"')
    return " ".join(words)
