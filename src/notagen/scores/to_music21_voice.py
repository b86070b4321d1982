"""One voice to music21: ABC tokens to notes, marks and spanners."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import TypeAlias

from music21 import (
    articulations,
    beam,
    chord,
    clef,
    duration,
    dynamics,
    expressions,
    harmony,
    note,
    pitch,
    spanner,
    tie,
)
from music21.base import Music21Object

from notagen.errors import ScoreError
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
from notagen.scores.marks import (
    ARTICULATIONS,
    DYNAMICS,
    FINGERS,
    ORNAMENTS,
    SIGNPOSTS,
    SPANS,
    SYNONYMS,
)

Placed: TypeAlias = tuple[Fraction, Music21Object]  # onset in quarters from the bar's start
Step: TypeAlias = tuple[str, int]  # letter and octave, as written

_ARTICULATION_OF = {sign: kind for kind, sign in ARTICULATIONS.items()}
_ORNAMENT_OF = {sign: kind for kind, sign in ORNAMENTS.items()}
_SHORTEST = 1 / 16  # quarters; a note of a tuplet that is plainly meant
_ALTERATIONS = {-2: "--", -1: "-", 0: "", 1: "#", 2: "##"}

_SIGNPOST_OF = {sign: kind for kind, sign in SIGNPOSTS.items()}
_PLACEMENTS = {"^": "above", "_": "below", "<": None, ">": None, "@": None}
_CHORD_SYMBOL = re.compile(
    r"(?P<root>[A-G][b#]?)(?P<kind>(?:maj|min|dim|aug|sus|add|m|M|[+\d()#b-])*)"
    r"(?P<bass>/[A-Ga-g][b#]?)?"
)

OPENING_SPANS = {opening: kind for kind, (opening, _) in SPANS.items()}
CLOSING_SPANS = {closing: kind for kind, (_, closing) in SPANS.items()}


class VoiceReader:
    """Reads the bars of one voice in order; remembers key, clef and what is still open.

    Finished slurs, wedges and the like gather in ``spans``. Signs without a counterpart in
    music21, and text that is not ABC, are left out.
    """

    def __init__(self, key: Key, sign: clef.Clef, unit: Fraction) -> None:
        """Start in the header's key and the voice's clef; ``unit`` is ``L:`` in quarters."""
        self.spans: list[spanner.Spanner] = []
        self._spelling = Spelling(key)
        self._octave_shift: int = sign.octaveChange
        self._unit = unit
        self._ties: dict[Step, int] = {}
        self._open_slurs: list[note.GeneralNote] = []  # their first notes
        self._open_spans: defaultdict[str, list[spanner.Spanner]] = defaultdict(list)
        self._last: note.GeneralNote | None = None

    def bar(self, text: str, whole: Fraction) -> tuple[list[Placed], Fraction]:
        """Read a bar: its elements in order, and its length in quarters.

        ``whole`` is how many quarters a whole-bar rest (``Z``) lasts.
        """
        self._spelling.start_bar()
        self._placed: list[Placed] = []
        self._clock = longest = Fraction(0)
        self._signs: list[str] = []  # decorations of the next note
        self._slurs = 0  # that open with the next note
        self._beamed: list[note.NotRest] = []
        self._tuplet: tuple[int, int, int] | None = None
        for token in tokens(text):
            if token.kind == "overlay":
                longest, self._clock = max(longest, self._clock), Fraction(0)
            elif token.kind == "rest" and token.letter in "ZX":
                self._place_timed(self._rest(token), make_duration(whole))
            else:
                self._read(token)
        self._end_beam()
        return self._placed, max(longest, self._clock)

    def _read(self, token: Token) -> None:
        match token.kind:
            case "note" | "chord" | "rest":
                tuplet = self._next_of_tuplet()
                self._place_timed(
                    self._element(token), make_duration(token.duration * self._unit, tuplet)
                )
            case "grace":
                self._place_graces(token)
            case "tie":
                if isinstance(self._last, note.NotRest):
                    self._open_tie(self._last)
            case "slur":
                if token.text == "(":
                    self._slurs += 1
                else:
                    self._close_slur()
            case "tuplet":
                self._tuplet = token.tuplet
                self._tuplet_begins = True
            case "decoration":
                self._decorate(token.text)
            case "quoted":
                self._place(make_words(token.text[1:-1]))
            case "field":
                self._set_field(token.text[1], token.text[3:-1].strip())
            case "space":
                if token.text.strip("`"):
                    self._end_beam()

    def _place(self, element: Music21Object | None) -> None:
        if element is not None:
            self._placed.append((self._clock, element))

    def _place_timed(self, element: note.GeneralNote, length: duration.Duration) -> None:
        element.duration = length
        self._place_note(element)
        self._clock += Fraction(length.quarterLength)
        if isinstance(element, note.NotRest):
            self._beamed.append(element)
        else:
            self._end_beam()

    def _place_graces(self, token: Token) -> None:
        count = sum(one.kind in ("note", "chord") for one in token.inner)
        for one in token.inner:
            if one.kind in ("note", "chord"):
                element = self._element(one, grace=True)
                element.duration = duration.Duration("eighth" if count == 1 else "16th")
                element.getGrace(inPlace=True)
                self._place_note(element)
            else:
                self._read(one)

    def _place_note(self, element: note.GeneralNote) -> None:
        """Place a note or rest at the clock, with the signs and slurs that wait for it."""
        self._place(element)
        attach(element, (sign for sign in self._signs if sign not in OPENING_SPANS))
        for sign in self._signs:
            if sign in OPENING_SPANS:
                kind = OPENING_SPANS[sign]
                span = make_span(kind)
                span.addSpannedElements(element)
                self._open_spans[kind].append(span)
        self._open_slurs += [element] * self._slurs
        self._signs, self._slurs = [], 0
        self._last = element

    def _element(self, token: Token, grace: bool = False) -> note.GeneralNote:
        if token.kind == "rest":
            return self._rest(token)
        incoming = self._ties
        if not grace:  # a grace note may stand between tied notes
            self._ties = {}
        if token.kind == "note":
            return self._note(token, incoming)
        members: list[note.Note] = []
        for one in token.inner:
            if one.kind == "note":
                members.append(self._note(one, incoming))
            elif one.kind == "tie" and members:
                self._open_tie(members[-1])
            elif one.kind == "decoration":
                self._decorate(one.text)
        return chord.Chord(members) if members else note.Rest()

    def _rest(self, token: Token) -> note.Rest:
        rest = note.Rest()
        if token.letter in "xX":
            rest.style.hideObjectOnPrint = True
        return rest

    def _note(self, token: Token, incoming: dict[Step, int]) -> note.Note:
        step = (token.letter, token.octave)
        tied = incoming.get(step)
        alter = self._spelling.alter(*step, token.accidental, tied)
        octave = token.octave + self._octave_shift
        made = note.Note(make_pitch(token.letter, octave, alter, shown=bool(token.accidental)))
        if tied == alter:
            made.tie = tie.Tie("stop")
        return made

    def _open_tie(self, element: note.NotRest) -> None:
        for one in element.notes if isinstance(element, chord.Chord) else (element,):
            one.tie = tie.Tie("start" if one.tie is None else "continue")
            self._ties[one.step, one.octave - self._octave_shift] = int(one.pitch.alter)

    def _close_slur(self) -> None:
        """End the slur that was opened last, but not on this very note (``(F(G)A)``)."""
        for index in reversed(range(len(self._open_slurs))):
            if self._open_slurs[index] is not self._last:
                self.spans.append(spanner.Slur([self._open_slurs.pop(index), self._last]))
                return

    def _next_of_tuplet(self) -> duration.Tuplet | None:
        """Return the tuplet as the next note has it, marked where it starts and stops."""
        if self._tuplet is None:
            return None
        p, q, remaining = self._tuplet
        made = duration.Tuplet(p, q)
        if self._tuplet_begins:
            made.type = "start" if remaining > 1 else "startStop"
        elif remaining == 1:
            made.type = "stop"
        self._tuplet_begins = False
        self._tuplet = (p, q, remaining - 1) if remaining > 1 else None
        return made

    def _decorate(self, sign: str) -> None:
        """Keep a sign for the next note, place it, or end a span with the last note."""
        if sign in CLOSING_SPANS:
            waiting = self._open_spans[CLOSING_SPANS[sign]]
            if waiting:  # where one ends and the next begins on a note, the first to open ends
                span = waiting.pop(0)
                span.addSpannedElements(self._last)
                self.spans.append(span)
        elif element := make_sign(sign):
            self._place(element)
        elif sign not in self._signs:  # the notes of a chord may each have it
            self._signs.append(sign)

    def _set_field(self, letter: str, value: str) -> None:
        match letter:
            case "K":
                name = parse_key(value)
                if name is not None and name.tonic:
                    self._spelling.set_key(name)
                    self._place(key_signature(name))
                for sign in filter(None, map(parse_clef, value.split())):
                    self._octave_shift = sign.octaveChange
                    self._place(sign)
            case "M":
                self._place(parse_meter(value))
            case "Q":
                self._place(parse_tempo(value))
            case "L":
                self._unit = parse_unit(value) or self._unit

    def _end_beam(self) -> None:
        beam_together(self._beamed)
        self._beamed = []


def make_pitch(letter: str, octave: int, alter: int, shown: bool) -> pitch.Pitch:
    """Return a pitch whose accidental is printed exactly when ``shown``."""
    if alter not in _ALTERATIONS:
        raise ScoreError(f"{letter} has {abs(alter)} accidentals; no score shows more than two")
    made = pitch.Pitch(f"{letter}{_ALTERATIONS[alter]}{octave}")
    if shown and not alter:
        made.accidental = pitch.Accidental("natural")
    if made.accidental is not None:
        made.accidental.displayStatus = shown
    return made


def make_duration(quarters: Fraction, tuplet: duration.Tuplet | None = None) -> duration.Duration:
    """Return a duration that sounds so many quarters, written as part of a tuplet."""
    if tuplet is not None:
        written = duration.Duration(quarters * tuplet.numberNotesActual / tuplet.numberNotesNormal)
        if written.type != "complex" and not written.tuplets:
            written.appendTuplet(tuplet)
            return written
    made = duration.Duration(quarters)
    unwritable = made.type == "inexpressible"
    if unwritable or any(t.durationNormal.quarterLength < _SHORTEST for t in made.tuplets):
        # No notation says this (rounding in a source file): the nearest note, its time kept.
        nearest, _ = duration.quarterLengthToClosestType(quarters)
        made = duration.Duration(type=nearest)
        made.linked = False
        made.quarterLength = quarters
    return made


def attach(target: note.GeneralNote, signs: Iterable[str]) -> None:
    """Put articulations and ornaments on a note, chord or rest; leave out unknown signs."""
    for sign in signs:
        sign = SYNONYMS.get(sign, sign)
        if sign in _ARTICULATION_OF:
            target.articulations.append(_ARTICULATION_OF[sign]())
        elif sign in _ORNAMENT_OF:
            target.expressions.append(_make_ornament(sign))
        elif sign.strip("!") in FINGERS:
            target.articulations.append(articulations.Fingering(int(sign.strip("!"))))
        elif sign in ("!/!", "!//!", "!///!"):
            tremolo = expressions.Tremolo()
            tremolo.numberOfMarks = len(sign) - 2
            target.expressions.append(tremolo)


def _make_ornament(sign: str) -> expressions.Expression:
    mark = _ORNAMENT_OF[sign]()
    if isinstance(mark, expressions.Fermata):
        mark.type = "upright"  # music21's own default is upside down, below the staff
    return mark


def beam_together(notes: Sequence[note.NotRest]) -> None:
    """Beam notes that are written without a blank between them; quarters and longer end a beam."""
    flags = [len(beam.Beams.naiveBeams([one])[0] or ()) for one in notes]
    for index, one in enumerate(notes):
        before = flags[index - 1] if index else 0
        after = flags[index + 1] if index + 1 < len(flags) else 0
        if not before and not after:
            continue
        for level in range(1, flags[index] + 1):
            if before >= level and after >= level:
                one.beams.append("continue")
            elif after >= level:
                one.beams.append("start")
            elif before >= level:
                one.beams.append("stop")
            else:
                one.beams.append("partial", "left" if before else "right")


def make_sign(decoration: str) -> Music21Object | None:
    """Return the dynamic or signpost of a decoration such as ``!mf!``; None for other signs."""
    if decoration.strip("!") in DYNAMICS:
        return dynamics.Dynamic(decoration.strip("!"))
    return _SIGNPOST_OF[decoration]() if decoration in _SIGNPOST_OF else None


def make_words(quoted: str) -> Music21Object | None:
    """Return the text or chord symbol of a quoted string (quotes taken off); None when empty."""
    placed = quoted[:1] in _PLACEMENTS
    words = quoted[placed:].strip()
    if not words:
        return None
    match = None if placed else _CHORD_SYMBOL.fullmatch(words)
    if match:
        root = match["root"].replace("b", "-")
        bass = match["bass"] or ""
        bass = bass[:2].upper() + bass[2:].replace("b", "-")
        with suppress(Exception):  # music21 fails in any way on words that only begin as one
            return harmony.ChordSymbol(root + match["kind"] + bass)
    text = expressions.TextExpression(words)
    text.placement = _PLACEMENTS.get(quoted[:1])
    return text


def make_span(kind: str) -> spanner.Spanner:
    """Return an empty wedge, octave line or trill line, by its name in ``SPANS``."""
    match kind:
        case "Crescendo":
            return dynamics.Crescendo()
        case "Diminuendo":
            return dynamics.Diminuendo()
        case "TrillExtension":
            return expressions.TrillExtension()
    # ABC's pitches under an octave line are those that sound.
    return spanner.Ottava(type=kind, transposing=False)
