"""Staves of a music21 score: groups, names, opening fields, spanners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from music21 import clef, key, layout, meter, note, spanner, stream, tempo
from music21.base import Music21Object

from notagen.notation.keys import Key, parse_key
from notagen.scores.fields import clef_name, key_name, tempo_text
from notagen.scores.layers import Layer, layers, sounding_voices, with_rows
from notagen.scores.marks import SPANS

_BRACKETS = {"brace": ("{", "}"), **dict.fromkeys(("bracket", "square", "line"), ("[", "]"))}

NotePosition: TypeAlias = tuple[str, int]  # (voice id, index of the note in that voice)


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
        """True if the score gives beams."""
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
        indices = [index[id(part)] for part in group]
        first, last = min(indices), max(indices)
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


@dataclass(frozen=True, slots=True)
class Opening:
    """The header's ``lines``, its ``key``, and what they say.

    ``elements`` holds the ``id()`` of all keys, metres and tempi that the header says, so
    that the voices need not. A staff that begins otherwise says so in its first bar.
    """

    lines: tuple[str, ...]
    key: Key
    elements: frozenset[int]


def read_opening(staffs: Sequence[Staff]) -> Opening:
    """Take the tempo, metre and key of the first staff that has one for the header's."""
    starts = [element for staff in staffs for element in _start(staff)]
    fields = [(element, field) for element in starts if (field := _field(element))]
    first = {field[:2]: field for _, field in reversed(fields)}
    key_line = first.get("K:", "K:C")
    tempo_line = [first["Q:"]] if "Q:" in first else []
    return Opening(
        lines=("L:1/8", *tempo_line, first.get("M:", "M:none"), key_line),
        key=parse_key(key_line[2:]) or Key(0, "C"),
        elements=frozenset(
            id(element) for element, field in fields if _means(field) == _means(first[field[:2]])
        ),
    )


def _means(field: str) -> str | int:
    """A field as its reader hears it: a key by its signature alone.

    MusicXML often names the mode in the first part only. The published converter then lets the
    others begin with a key of their own, ``[K:C]`` under ``K:Amin``, which says nothing.
    """
    key = parse_key(field[2:]) if field.startswith("K:") else None
    return field if key is None else key.fifths


def _start(staff: Staff) -> list[Music21Object]:
    """Return what stands at the very beginning of a staff, notes included."""
    events = staff.bars[0][0].events if staff.bars else []
    return [event.element for event in events if event.onset == 0]


def _field(element: Music21Object) -> str:
    match element:
        case key.KeySignature():
            return f"K:{key_name(element)}"
        case meter.TimeSignature():
            return f"M:{element.ratioString}"
        case tempo.MetronomeMark():
            return f"Q:{text}" if (text := tempo_text(element)) else ""
    return ""


class Spans:
    """Spanners that open before and close after each note, by the note's ``id()``.

    ABC ties these marks to a voice: a span is kept when it begins and ends in the same one.
    """

    def __init__(
        self, bundle: spanner.SpannerBundle, positions: Mapping[int, NotePosition]
    ) -> None:
        self.opening: defaultdict[int, list[str]] = defaultdict(list)
        self.closing: defaultdict[int, list[str]] = defaultdict(list)
        self.slurs_opening: defaultdict[int, int] = defaultdict(int)
        self.slurs_closing: defaultdict[int, int] = defaultdict(int)
        for span in bundle:
            if not isinstance(span, spanner.RepeatBracket) and len(span):
                self._add(span, span.getFirst(), span.getLast(), positions)

    def _add(
        self,
        span: spanner.Spanner,
        first: Music21Object,
        last: Music21Object,
        positions: Mapping[int, NotePosition],
    ) -> None:
        start, end = positions.get(id(first)), positions.get(id(last))
        if start is None or end is None or start[0] != end[0]:
            return
        if start > end:  # begins and ends within one long note: music21 names its neighbours
            first = last
        if isinstance(span, spanner.Slur):
            if start != end:
                self.slurs_opening[id(first)] += 1
                self.slurs_closing[id(last)] += 1
            return
        kind = span.type if isinstance(span, spanner.Ottava) else type(span).__name__
        if kind in SPANS:
            opening, closing = SPANS[kind]
            if opening in self.opening[id(first)]:
                return  # a voice has one of a kind at a time
            self.opening[id(first)].append(opening)
            self.closing[id(last)].append(closing)
