"""music21 to Tune: the header, then the bars of each voice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from typing import TypeAlias

from music21 import (
    articulations,
    chord,
    clef,
    dynamics,
    expressions,
    harmony,
    key,
    meter,
    note,
    pitch,
    stream,
    tempo,
)
from music21.base import Music21Object
from music21.repeat import RepeatExpression

from notagen.errors import ScoreError
from notagen.notation import Bar, Tune
from notagen.notation.bars import print_length
from notagen.notation.keys import Key, parse_key
from notagen.scores.barlines import barlines
from notagen.scores.fields import Spelling, abc_letter, clef_name, key_name, meter_name, tempo_text
from notagen.scores.layers import Event, Layer, eighths, is_hidden
from notagen.scores.marks import ARTICULATIONS, FINGERS, ORNAMENTS, REPEAT_EXPRESSIONS
from notagen.scores.rhythm import Rhythm, write_rhythm
from notagen.scores.staves import (
    HeaderFields,
    NotePosition,
    Spans,
    Staff,
    header_fields,
    score_line,
    staves,
    titles,
    voice_lines,
)

_WHOLE_NOTE = Fraction(8)  # eighths
_QUARTER_NOTE = Fraction(2)

_WORD = re.compile("[A-Za-z-]+")

Step: TypeAlias = tuple[str, int]
"""Letter and octave, as written."""


def from_music21(score: stream.Score) -> Tune:
    """Convert a music21 score to a tune: one voice per layer of each staff, bars filled with rests.

    Title and composer stay, as ``T:`` and ``C:``; lyrics, pedal marks and layout are left out. Bars
    of unequal length are filled up to the longest part's, and parts that end early get bars of
    rest, so that the voices stay aligned.

    Raises:
        ScoreError: the score has no measures, or an accidental beyond double sharps and flats.
    """
    if not any(part.hasMeasures() for part in score.parts):
        raise ScoreError("The score has no measures; call makeMeasures() on its parts first.")
    staffs = staves(score)
    fields = header_fields(staffs)
    spans = Spans(score.spannerBundle, _note_positions(staffs))
    left, right = barlines([staff.part for staff in staffs])
    lengths = _bar_lengths(staffs)
    bars: list[dict[str, Bar]] = [{} for _ in lengths]
    for staff in staffs:
        for layer, voice in enumerate(staff.voices):
            converter = VoiceFromMusic21(staff, fields, spans)
            empty = "x" if layer else "z"
            for index, length in enumerate(lengths):
                try:
                    text = converter.convert(staff.bars[index][layer], length, empty)
                except ScoreError as error:
                    raise ScoreError(f"bar {index + 1}, voice {voice}: {error}") from error
                bars[index][voice] = Bar(text, right[index], "" if index else left)
    header = (*titles(score), score_line(score, staffs), *fields.lines, *voice_lines(score, staffs))
    return Tune(header, tuple(bars))


def _bar_lengths(staffs: Sequence[Staff]) -> list[Fraction]:
    """Length of each bar in eighths: of its longest voice, or of the bar before if it is empty."""
    lengths: list[Fraction] = []
    for bar in zip(*(staff.bars for staff in staffs), strict=True):
        longest = max(layer.end for layers in bar for layer in layers)
        lengths.append(longest or (lengths[-1] if lengths else _WHOLE_NOTE))
    return lengths


def _note_positions(staffs: Sequence[Staff]) -> dict[int, NotePosition]:
    """Positions of notes, chords and rests, by ``id()``; members of a chord have the chord's."""
    positions: dict[int, NotePosition] = {}
    for staff in staffs:
        for bar in staff.bars:
            for voice, layer in zip(staff.voices, bar, strict=True):
                for event in layer.events:
                    if isinstance(event.element, note.GeneralNote):
                        position = (voice, len(positions))
                        positions[id(event.element)] = position
                        if isinstance(event.element, chord.ChordBase):
                            positions.update((id(one), position) for one in event.element.notes)
    return positions


class VoiceFromMusic21:
    """Conversion of one voice to ABC, bar by bar in their order.

    Attributes:
        _spelling: accidentals in force.
        _clef: the clef in force.
        _header: ``id()`` of the keys, metres and tempi that the header holds already.
        _beat: length of a beat in eighths, for beams; None where the score has beams of its own.
        _spans: slurs, wedges and lines of the score.
        _ties: pitches tied to the next note or chord, with their alteration.
    """

    def __init__(self, staff: Staff, fields: HeaderFields, spans: Spans) -> None:
        """Start in the header's key and the staff's first clef."""
        self._spelling = Spelling(fields.key)
        self._clef = staff.clef
        self._header = fields.elements
        self._beat = None if staff.beamed else Fraction(2)
        self._spans = spans
        self._ties: dict[Step, int] = {}

    def convert(self, layer: Layer, length: Fraction, empty: str) -> str:
        """ABC of the next bar, filled up to ``length`` eighths with invisible rests.

        ``empty`` is the letter, ``z`` or ``x``, of the rest in a bar without notes or rests.
        """
        self._spelling.start_bar()
        for event in layer.events:
            if self._beat and isinstance(event.element, meter.TimeSignature):
                self._beat = _beat(event.element)
        notes = [event for event in layer.events if event.length]
        rhythms = iter(write_rhythm(notes, length, self._beat))
        out: list[str] = []
        clock = Fraction(0)
        # Grace notes that follow each other share one pair of braces, {ga}.
        for grace, events in groupby(layer.events, key=_is_grace):
            if grace:
                out.append("{" + "".join(map(self._grace, events)) + "}")
                continue
            for event in events:
                if not event.length:
                    out.append(self._direction(event.element))
                    continue
                if event.onset > clock:
                    out.append(f" x{print_length(event.onset - clock)}")
                clock = event.onset + event.length
                out.append(self._timed(event, next(rhythms)))
        if clock < length:
            out.append(f" {'x' if notes else empty}{print_length(length - clock)}")
        return "".join(out).strip()

    def _timed(self, event: Event, rhythm: Rhythm) -> str:
        # `!<(! (3G>A-!<)!`: a span, a blank that ends the beam, a tuplet, the note, broken rhythm.
        opening, closing = self._spans_of(event)
        return (
            opening
            + rhythm.lead
            + self._note(event.element, rhythm.length)
            + rhythm.broken
            + closing
        )

    def _grace(self, event: Event) -> str:
        opening, closing = self._spans_of(event)
        return opening + self._note(event.element, Fraction(1)) + closing

    def _spans_of(self, event: Event) -> tuple[str, str]:
        """Decorations of the wedges and lines that open and close at a note."""
        spans, key = self._spans, id(event.element)
        return "".join(spans.opening[key]), "".join(spans.closing[key])

    def _note(self, element: Music21Object, length: Fraction) -> str:
        """ABC of a note, chord or rest with its slurs and decorations."""
        before = "(" * self._spans.slurs_opening[id(element)] + _decorations(element)
        after = print_length(length)
        if is_hidden(element):
            body = "x"
        elif isinstance(element, note.Rest):
            body = "z"
        else:
            body, tie = self._sounding(element)
            after += tie
        return before + body + after + ")" * self._spans.slurs_closing[id(element)]

    def _sounding(self, element: Music21Object) -> tuple[str, str]:
        """Pitches of a note or chord, and its tie if all its notes are tied."""
        members = [element]
        if isinstance(element, chord.ChordBase):
            members = [member for member in element.notes if not is_hidden(member)]
        incoming = self._ties
        if not element.duration.isGrace:  # a grace note may stand between tied notes
            self._ties = {}
        tied = [_starts_tie(member) for member in members]
        pitches = [
            self._pitch(member, incoming, starts)
            for member, starts in zip(members, tied, strict=True)
        ]
        if len(pitches) == 1:
            return pitches[0], "-" if tied[0] else ""
        if all(tied):  # [CE]2- and not [C-E-]2
            return f"[{''.join(pitches)}]", "-"
        marked = (text + "-" * starts for text, starts in zip(pitches, tied, strict=True))
        return f"[{''.join(marked)}]", ""

    def _pitch(self, member: Music21Object, incoming: dict[Step, int], starts: bool) -> str:
        sounding = _display_pitch(member)
        step = (sounding.step, sounding.implicitOctave - self._clef.octaveChange)
        alter = int(sounding.alter)
        if isinstance(member, note.Unpitched):  # a place on the staff, whatever the key
            if starts:
                self._ties[step] = 0
            return abc_letter(*step)
        if alter != sounding.alter or abs(alter) > 2:
            raise ScoreError(f"{sounding.nameWithOctave} has an accidental that ABC can't write.")
        shown = sounding.accidental is not None and bool(sounding.accidental.displayStatus)
        sign = self._spelling.sign(*step, alter, tied=incoming.get(step), shown=shown)
        if starts:
            self._ties[step] = alter
        return sign + abc_letter(*step)

    def _change_clef(self, element: clef.Clef) -> str:
        """Field of a new clef; empty for the clef in force, restated on a new page."""
        before, self._clef = clef_name(self._clef), element
        after = clef_name(element)
        return f"[K:{after}]" if after != before else ""

    def _direction(self, element: Music21Object) -> str:
        """ABC of an element without length: field, dynamic, words; empty if ABC has none."""
        in_header = id(element) in self._header
        match element:
            case clef.Clef():
                return self._change_clef(element)
            case key.KeySignature():
                name = key_name(element)
                self._spelling.set_key(parse_key(name) or Key(0, "C"))
                return "" if in_header else f"[K:{name}]"
            case meter.TimeSignature():
                return "" if in_header else f"[M:{meter_name(element)}]"
            case tempo.MetronomeMark():
                return _tempo(element, in_header)
            case dynamics.Dynamic():
                return _dynamic(element.value or "")
            case harmony.ChordSymbol():
                return _quoted("", element.figure.replace("-", "b"))
            case expressions.TextExpression() | expressions.RehearsalMark():
                below = getattr(element, "placement", None) == "below"
                return _quoted("_" if below else "^", str(element.content))
            case RepeatExpression():
                return REPEAT_EXPRESSIONS.get(type(element), "")
        return ""


def _beat(metre: meter.TimeSignature) -> Fraction:
    """Length of a beat in eighths; a quarter where beats are unequal, as in 3+2/8."""
    lengths = {beat.duration.quarterLength for beat in metre.beatSequence}
    return eighths(lengths.pop()) if len(lengths) == 1 else _QUARTER_NOTE


def _is_grace(event: Event) -> bool:
    return isinstance(event.element, note.GeneralNote) and event.element.duration.isGrace


def _starts_tie(element: Music21Object) -> bool:
    return element.tie is not None and element.tie.type in ("start", "continue", "let-ring")


def _display_pitch(member: Music21Object) -> pitch.Pitch:
    # A percussion note (Unpitched) has only the position on the staff where it is printed.
    return member.pitch if isinstance(member, note.Note) else member.displayPitch()


def _decorations(element: Music21Object) -> str:
    decorations = [_articulation(mark) for mark in element.articulations]
    decorations += [_ornament(mark) for mark in element.expressions]
    return "".join(dict.fromkeys(decorations))  # files double some, invisibly


def _articulation(mark: Music21Object) -> str:
    if isinstance(mark, articulations.Fingering) and str(mark.fingerNumber) in FINGERS:
        return f"!{mark.fingerNumber}!"
    return ARTICULATIONS.get(type(mark), "")


def _ornament(mark: Music21Object) -> str:
    if isinstance(mark, expressions.Tremolo):
        return f"!{'/' * mark.numberOfMarks}!"
    return next((ORNAMENTS[kind] for kind in type(mark).__mro__ if kind in ORNAMENTS), "")


def _dynamic(name: str) -> str:
    """``!mf!``; other than one word, as words: a decoration holds no blanks."""
    return f"!{name}!" if _WORD.fullmatch(name) else _quoted("^", name)


def _tempo(mark: tempo.MetronomeMark, in_header: bool) -> str:
    text = tempo_text(mark)
    field = f"[Q:{text}]" if text and not in_header else ""
    words = mark.text if mark.text and not mark.textImplicit else ""
    return field + _quoted("^", words)


def _quoted(placement: str, words: str) -> str:
    plain = " ".join(words.replace('"', "'").split())
    return f'"{placement}{plain}"' if plain else ""
