"""Staves of a music21 score: their layers, groups and names, the header's fields, spanners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from music21 import clef, key, layout, meter, note, spanner, stream, tempo
from music21.base import Music21Object

from notagen.notation.keys import Key, parse_key
from notagen.scores.fields import clef_name, key_name, meter_name, tempo_text
from notagen.scores.layers import Layer, sounding_voices, split_layers, with_silent_layers
from notagen.scores.marks import SPANS
from notagen.scores.text_strings import plain_text

_BRACKETS = {"brace": ("{", "}"), **dict.fromkeys(("bracket", "square", "line"), ("[", "]"))}

NotePosition: TypeAlias = tuple[str, int]
"""Voice id, and a number that grows from note to note."""


@dataclass(frozen=True, slots=True)
class Staff:
    """A part's bars cut into layers; ``voices`` are the layers' numbers in the whole score."""

    part: stream.Part
    voices: tuple[str, ...]
    bars: tuple[tuple[Layer, ...], ...]  # [bar][voice]

    @property
    def clef(self) -> clef.Clef:
        """The clef at the staff's beginning; treble when the score has none there."""
        events = self.bars[0][0].events if self.bars else []
        clefs = [e.element for e in events if not e.onset and isinstance(e.element, clef.Clef)]
        return clefs[0] if clefs else clef.TrebleClef()

    @property
    def beamed(self) -> bool:
        """True if the score has beams."""
        return any(
            isinstance(event.element, note.NotRest) and event.element.beams.beamsList
            for bar in self.bars
            for layer in bar
            for event in layer.events
        )


def staves(score: stream.Score) -> list[Staff]:
    """Staves of all parts, their layers numbered as ABC voices from 1.

    Parts that end early get silent bars.
    """
    n_bars = max(len(part.getElementsByClass(stream.Measure)) for part in score.parts)
    staffs: list[Staff] = []
    n_voices = 0
    for part in score.parts:
        sounding = sounding_voices(part)
        cut = [split_layers(bar, sounding) for bar in part.getElementsByClass(stream.Measure)]
        cut += [[] for _ in range(n_bars - len(cut))]
        count = max(map(len, cut)) or 1
        bars = tuple(with_silent_layers(layers, count) for layers in cut)
        voices = tuple(str(n_voices + n) for n in range(1, count + 1))
        staffs.append(Staff(part, voices, bars))
        n_voices += count
    return staffs


def score_line(score: stream.Score, staffs: Sequence[Staff]) -> str:
    """The ``%%score`` line: staves in order, in the brackets and braces of their groups."""
    index = {id(staff.part): i for i, staff in enumerate(staffs)}
    words = [_staff_word(staff) for staff in staffs]
    joined = [False] * len(staffs)  # whether the barline continues to the next staff
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


def titles(score: stream.Score) -> Iterator[str]:
    """Yield the lines ``T:`` and ``C:``, as far as the score has a title and a composer."""
    labels = score.metadata
    if labels is not None:
        title = labels.title or labels.movementName or ""
        # music21 10.5 gives a score without a title the name of its file.
        if plain := plain_text(title) if title != Path(labels.filePath or "").name else "":
            yield f"T:{plain}"
        if plain := plain_text(labels.composer or ""):
            yield f"C:{plain}"


def voice_lines(score: stream.Score, staffs: Sequence[Staff]) -> Iterator[str]:
    """Yield the ``V:`` lines: number, clef, and on the first voice of a part its name."""
    followers = {  # the second staff of a piano has no name of its own
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
class HeaderFields:
    """The header's ``lines`` ``L: Q: M: K:``, and its ``key``.

    ``elements`` holds the ``id()`` of all keys, metres and tempi that agree with the header, so
    that the voices need not repeat them. A staff with others writes them in its first bar.
    """

    lines: tuple[str, ...]
    key: Key
    elements: frozenset[int]


def header_fields(staffs: Sequence[Staff]) -> HeaderFields:
    """Tempo, metre and key of a score, each from the first staff that begins with one."""
    starts = [element for staff in staffs for element in _start(staff)]
    fields = [(element, field) for element in starts if (field := _field(element))]
    first = {field[:2]: field for _, field in reversed(fields)}
    key_line = first.get("K:", "K:C")
    tempo_line = [first["Q:"]] if "Q:" in first else []
    return HeaderFields(
        lines=("L:1/8", *tempo_line, first.get("M:", "M:none"), key_line),
        key=parse_key(key_line[2:]) or Key(0, "C"),
        elements=frozenset(
            id(element)
            for element, field in fields
            if _comparable(field) == _comparable(first[field[:2]])
        ),
    )


def _comparable(field: str) -> str | int:
    """A key as its number of fifths, other fields as their text.

    MusicXML often gives the mode in the first part only. The published converter then writes
    ``[K:C]`` under ``K:Amin`` in the other parts, without need.
    """
    key = parse_key(field[2:]) if field.startswith("K:") else None
    return field if key is None else key.fifths


def _start(staff: Staff) -> list[Music21Object]:
    """Elements at the very beginning of a staff, notes included."""
    events = staff.bars[0][0].events if staff.bars else []
    return [event.element for event in events if event.onset == 0]


def _field(element: Music21Object) -> str:
    """The header line of a key, metre or tempo; empty for other elements."""
    match element:
        case key.KeySignature():
            return f"K:{key_name(element)}"
        case meter.TimeSignature():
            return f"M:{meter_name(element)}"
        case tempo.MetronomeMark():
            return f"Q:{text}" if (text := tempo_text(element)) else ""
    return ""


class Spans:
    """Slurs, wedges and lines that open before or close after each note.

    In ABC they belong to a voice: a span is kept when it begins and ends in the same one.

    Attributes:
        opening, closing: decorations, by the ``id()`` of their note.
        slurs_opening, slurs_closing: numbers of slurs, by the ``id()`` of their note.
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
                return  # two wedges at once can't be told apart when they close
            self.opening[id(first)].append(opening)
            self.closing[id(last)].append(closing)
