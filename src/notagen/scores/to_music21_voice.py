"""One voice to music21: its bars, and the ties, slurs and lines that cross barlines."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from music21 import chord, clef, duration, note, percussion, spanner, tie
from music21.base import Music21Object

from notagen.notation.bars import Token, tokens
from notagen.notation.keys import Key, parse_key
from notagen.scores.fields import (
    Spelling,
    key_signature,
    parse_clef,
    parse_meter,
    parse_tempo,
    parse_unit,
)
from notagen.scores.marks import SPANS
from notagen.scores.to_music21_elements import (
    attach_decorations,
    beam_together,
    make_direction,
    make_duration,
    make_pitch,
    make_rest,
    make_span,
    make_words,
)

TimedElement: TypeAlias = tuple[Fraction, Music21Object]
"""Onset in quarters from the bar's start, and element."""

Step: TypeAlias = tuple[str, int]
"""Letter and octave, as written."""

_OPENING_SPANS = {opening: kind for kind, (opening, _) in SPANS.items()}
_CLOSING_SPANS = {closing: kind for kind, (_, closing) in SPANS.items()}


_OCTAVE = re.compile(r"\boctave=([-+]?[0-4])\b")
_MAX_SLURS = 8  # that begin at one note


@dataclass(slots=True)
class _Tuplet:
    """A tuplet with notes to come: ``actual`` in the time of ``normal``, ``remaining`` of them."""

    actual: int
    normal: int
    remaining: int
    started: bool = False

    def next(self) -> duration.Tuplet:
        """The tuplet as its next note carries it, marked at the first and the last note."""
        made = duration.Tuplet(self.actual, self.normal)
        if not self.started:
            made.type = "start" if self.remaining > 1 else "startStop"
        elif self.remaining == 1:
            made.type = "stop"
        self.started = True
        self.remaining -= 1
        return made


@dataclass(slots=True)
class _Bar:
    """The bar under conversion: its elements so far, and what its next note takes with it.

    Attributes:
        elements: notes, rests and marks with their onsets, in the order of the text.
        clock: onset of the next note, in quarters from the bar's start.
        longest: end of the longest voice that ``&`` has closed.
        decorations: of the next note, each once.
        n_slurs: slurs that begin at the next note.
        beamed: notes since the last blank or rest, to be beamed together.
        tuplet: the one that the next note belongs to.
    """

    elements: list[TimedElement] = field(default_factory=list)
    clock: Fraction = Fraction(0)
    longest: Fraction = Fraction(0)
    decorations: list[str] = field(default_factory=list)
    n_slurs: int = 0
    beamed: list[note.NotRest] = field(default_factory=list)
    tuplet: _Tuplet | None = None

    @property
    def length(self) -> Fraction:
        """Length of the longest voice, in quarters."""
        return max(self.longest, self.clock)

    def add(self, element: Music21Object | None) -> None:
        """Insert an element at the clock."""
        if element is not None:
            self.elements.append((self.clock, element))

    def advance(self, element: note.GeneralNote) -> None:
        """Move the clock past a note or rest; a rest ends the beam."""
        self.clock += Fraction(element.duration.quarterLength)
        if isinstance(element, note.NotRest):
            self.beamed.append(element)
        else:
            self.end_beam()

    def end_beam(self) -> None:
        """Beam the notes since the last blank or rest."""
        beam_together(self.beamed)
        self.beamed = []

    def start_overlay(self) -> None:
        """Return to the bar's start, for the voice after ``&``."""
        self.longest, self.clock = self.length, Fraction(0)

    def next_of_tuplet(self) -> duration.Tuplet | None:
        """The open tuplet as the next note carries it; None outside of tuplets."""
        if self.tuplet is None:
            return None
        made = self.tuplet.next()
        if not self.tuplet.remaining:
            self.tuplet = None
        return made


class VoiceToMusic21:
    """Conversion of one voice, bar by bar in their order.

    Signs without a counterpart in music21, and text that is not ABC, are left out.

    Attributes:
        spans: slurs, wedges, octave and trill lines that have ended.
        _spelling: accidentals in force.
        _octave_shift: octaves that clef and voice add to written pitches, -1 for ``treble-8``.
        _octave: the voice's part of it, ``octave=``.
        _drums: whether notes are places on a percussion staff, without pitch.
        _unit: ``L:`` in quarters.
        _ties: pitches tied to the next note or chord, with their alteration.
        _open_slurs: first notes of slurs without an end.
        _open_spans: wedges and lines without an end, by kind.
        _last: the last note, chord or rest, at which slurs and spans end.
        _bar: the bar under conversion.
    """

    def __init__(self, key: Key, sign: clef.Clef, unit: Fraction, octave: int = 0) -> None:
        """Start in the header's key and the voice's clef; ``unit`` is ``L:`` in quarters."""
        self.spans: list[spanner.Spanner] = []
        self._spelling = Spelling(key)
        self._octave = octave
        self._octave_shift: int = octave + sign.octaveChange
        self._drums = isinstance(sign, clef.PercussionClef)
        self._unit = unit
        self._ties: dict[Step, int] = {}
        self._open_slurs: list[note.GeneralNote] = []
        self._open_spans: defaultdict[str, list[spanner.Spanner]] = defaultdict(list)
        self._last: note.GeneralNote | None = None
        self._bar = _Bar()

    def convert(self, text: str, whole: Fraction) -> tuple[list[TimedElement], Fraction]:
        """Elements of the next bar in order, and its length in quarters.

        ``whole`` is the length in quarters of a whole-bar rest (``Z``).

        Raises:
            ScoreError: a note has more than two accidentals.
        """
        self._spelling.start_bar()
        self._bar = _Bar()
        for token in tokens(text):
            if token.kind == "overlay":
                self._bar.start_overlay()
            elif token.kind == "rest" and token.letter in "ZX":
                self._add_timed(make_rest(token.letter), make_duration(whole))
            else:
                self._convert_token(token)
        self._bar.end_beam()
        return self._bar.elements, self._bar.length

    def _convert_token(self, token: Token) -> None:
        match token.kind:
            case "note" | "chord" | "rest":
                tuplet = self._bar.next_of_tuplet()
                length = make_duration(token.duration * self._unit, tuplet)
                self._add_timed(self._element(token), length)
            case "grace":
                self._add_graces(token)
            case "tie":
                if isinstance(self._last, note.NotRest):
                    self._open_tie(self._last)
            case "slur":
                if token.text == "(":
                    self._bar.n_slurs = min(self._bar.n_slurs + 1, _MAX_SLURS)
                else:
                    self._close_slur()
            case "tuplet":
                self._bar.tuplet = _Tuplet(*token.tuplet) if token.tuplet else None
            case "decoration":
                self._decorate(token.text)
            case "quoted":
                self._bar.add(make_words(token.text[1:-1]))
            case "field":
                self._set_field(token.text[1], token.text[3:-1].strip())
            case "space":
                if token.text.strip("`"):  # a back quote separates notes without ending the beam
                    self._bar.end_beam()

    def _add_timed(self, element: note.GeneralNote, length: duration.Duration) -> None:
        element.duration = length
        self._add_note(element)
        self._bar.advance(element)

    def _add_graces(self, token: Token) -> None:
        count = sum(one.kind in ("note", "chord") for one in token.inner)
        for one in token.inner:
            if one.kind in ("note", "chord"):
                element = self._element(one, grace=True)
                element.duration = duration.Duration("eighth" if count == 1 else "16th")
                element.getGrace(inPlace=True)
                self._add_note(element)
            else:
                self._convert_token(one)

    def _add_note(self, element: note.GeneralNote) -> None:
        """Add a note or rest at the clock, with the decorations and slurs that wait for it."""
        bar = self._bar
        bar.add(element)
        attach_decorations(element, (one for one in bar.decorations if one not in _OPENING_SPANS))
        for decoration in bar.decorations:
            if decoration in _OPENING_SPANS:
                kind = _OPENING_SPANS[decoration]
                span = make_span(kind)
                span.addSpannedElements(element)
                self._open_spans[kind].append(span)
        self._open_slurs += [element] * bar.n_slurs
        bar.decorations, bar.n_slurs = [], 0
        self._last = element

    def _element(self, token: Token, grace: bool = False) -> note.GeneralNote:
        """A note, chord or rest without its duration, its ties to the last notes closed."""
        if token.kind == "rest":
            return make_rest(token.letter)
        incoming = self._ties
        if not grace:  # a grace note may stand between tied notes
            self._ties = {}
        if token.kind == "note":
            return self._note(token, incoming)
        members: list[note.NotRest] = []
        for one in token.inner:
            if one.kind == "note":
                members.append(self._note(one, incoming))
            elif one.kind == "tie" and members:
                self._open_tie(members[-1])
            elif one.kind == "decoration":
                self._decorate(one.text)
        if not members:
            return note.Rest()
        return percussion.PercussionChord(members) if self._drums else chord.Chord(members)

    def _note(self, token: Token, incoming: dict[Step, int]) -> note.NotRest:
        step = (token.letter, token.octave)
        if self._drums:
            struck = note.Unpitched(f"{token.letter}{token.octave}")
            struck.tie = tie.Tie("stop") if step in incoming else None
            return struck
        tied = incoming.get(step)
        alter = self._spelling.alter(*step, token.accidental, tied)
        octave = token.octave + self._octave_shift
        made = note.Note(make_pitch(token.letter, octave, alter, shown=bool(token.accidental)))
        if tied == alter:
            made.tie = tie.Tie("stop")
        return made

    def _open_tie(self, element: note.NotRest) -> None:
        for one in element.notes if isinstance(element, chord.ChordBase) else (element,):
            one.tie = tie.Tie("start" if one.tie is None else "continue")
            if isinstance(one, note.Unpitched):
                self._ties[one.displayStep, one.displayOctave] = 0
            else:
                self._ties[one.step, one.octave - self._octave_shift] = int(one.pitch.alter)

    def _close_slur(self) -> None:
        """End the slur that was opened last, but not on its own first note (``(F(G)A)``)."""
        for index in reversed(range(len(self._open_slurs))):
            if self._open_slurs[index] is not self._last:
                self.spans.append(spanner.Slur([self._open_slurs.pop(index), self._last]))
                return

    def _decorate(self, decoration: str) -> None:
        """Keep a decoration for the next note, add it as a mark, or end a span at the last note."""
        if decoration in _CLOSING_SPANS:
            waiting = self._open_spans[_CLOSING_SPANS[decoration]]
            if waiting:  # where one ends and the next begins on a note, the first to open ends
                span = waiting.pop(0)
                span.addSpannedElements(self._last)
                self.spans.append(span)
        elif direction := make_direction(decoration):
            self._bar.add(direction)
        elif decoration not in self._bar.decorations:  # the notes of a chord may each have it
            self._bar.decorations.append(decoration)

    def _set_field(self, letter: str, value: str) -> None:
        """Apply an inline field: ``[K:Eb]``, ``[K:bass]``, ``[M:3/4]``, ``[Q:1/4=60]``."""
        match letter:
            case "K":
                key = parse_key(value)
                if key is not None and key.tonic:
                    self._spelling.set_key(key)
                    self._bar.add(key_signature(key))
                if octave := _OCTAVE.search(value):
                    self._octave_shift += int(octave[1]) - self._octave
                    self._octave = int(octave[1])
                for sign in filter(None, map(parse_clef, value.split())):
                    self._octave_shift = self._octave + sign.octaveChange
                    self._drums = isinstance(sign, clef.PercussionClef)
                    self._bar.add(sign)
            case "M":
                self._bar.add(parse_meter(value))
            case "Q":
                self._bar.add(parse_tempo(value))
            case "L":
                self._unit = parse_unit(value) or self._unit
