"""Humdrum **kern to music21: spine paths, subspines as voices, bars, dynamics.

music21 10.5 has a Humdrum reader of its own. It loses the notes of a subspine that splits again,
lets a join of three subspines swallow the bars that follow, takes ``*kcancel`` for a signature
without sharps, and a **dynam token of several words for one mark. So the paths are followed here;
single notes, rests, chords and barlines are music21's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Final

from music21 import bar, clef, dynamics, instrument, key, meter, note, stream, tempo
from music21.base import Music21Object
from music21.common.numberTools import opFrac
from music21.humdrum import instruments
from music21.humdrum.spineParser import GlobalReference, KernSpine, hdStringToMeasure
from music21.metadata import Metadata

from notagen.errors import ScoreError
from notagen.scores.marks import DYNAMICS

_PATHS: Final = frozenset(("*-", "*^", "*v", "*x", "*+"))
_REFERENCE = re.compile(r"!!!+[^:\s@]+(?:@@?[^:\s@]+)?:")
_CLEF = re.compile(r"\*clef([GFC])(v{1,2}|\^{1,2})?([1-5])")
_OCTAVES = {"v": -1, "vv": -2, "^": 1, "^^": 2}
_METER = re.compile(r"\*M(\d{1,3}(?:\+\d{1,3})*)/(1|2|4|8|16|32|64|128|0{1,3})")
_BREVES = {"0": 2, "00": 4, "000": 8}  # denominators longer than a whole note, in wholes
_SIGNATURE = re.compile(r"\*k\[((?:[a-gA-G](?:#+|-+|n)?)*)\]")
_KEY = re.compile(r"\*([A-Ga-g][#-]?):")
_TEMPO = re.compile(r"\*MM(?:\[(?P<words>[^\]]*)\]?|(?P<number>\d+(?:\.\d+)?))")
_PITCH = re.compile(r"[a-gA-G]")


def parse_kern(text: str) -> list[stream.Score]:
    """Parse a Humdrum file: a score for each run of spines from ``**kern`` to ``*-``.

    Each **kern spine becomes a part, the last one first; its subspines become the voices of the
    bars in which they stand, numbered from left to right.

    Raises:
        ScoreError: a line has more or fewer columns than spines, or there is no **kern spine.
    """
    scores: list[stream.Score] = []
    reader = _Score()
    references: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.rstrip()
        if line.startswith("!"):
            references += [line] if _REFERENCE.match(line) else []
        elif line:
            if reader.ended:
                scores.append(reader.score())
                reader = _Score()
            reader.read(re.split("\t+", line), number)
    scores.append(reader.score())
    scores = [score for score in scores if score.parts]
    if not scores:
        raise ScoreError("it holds no **kern spine.")
    for score in scores:
        score.insert(0, _metadata(references))
    return scores


def _metadata(references: Sequence[str]) -> Metadata:
    """Title, composer and the like from the ``!!!`` lines."""
    metadata = Metadata()
    for line in references:
        GlobalReference(line).updateMetadata(metadata)
    return metadata


@dataclass(slots=True)
class _Spine:
    """A **kern or **dynam spine.

    Attributes:
        staffs: numbers in its ``*staff1/2``.
        measure, events: the bar that is being read; ``measures`` are those before it.
    """

    kind: str
    staffs: tuple[int, ...] = ()
    part: stream.Part = field(default_factory=stream.Part)
    measures: list[stream.Measure] = field(default_factory=list)
    measure: stream.Measure = field(default_factory=stream.Measure)
    events: list[_Event] = field(default_factory=list)
    signature: key.KeySignature | None = None


@dataclass(slots=True)
class _Event:
    """An element of the current bar; ``onset`` in quarters from its beginning."""

    onset: Fraction | float
    layer: int  # 0: of no voice
    element: Music21Object


@dataclass(slots=True)
class _Column:
    """A column of the file, at one line: a spine, or one of its subspines.

    Attributes:
        clock: end of its last note, in quarters from the beginning of the bar.
        fresh: no note since the split that it comes from.
        notes: music21's reader of notes, which keeps count of beams and tuplets.
    """

    spine: _Spine
    layer: int = 1
    clock: Fraction | float = 0.0
    fresh: bool = False
    notes: KernSpine = field(default_factory=lambda: _note_reader())


def _note_reader() -> KernSpine:
    reader = KernSpine()
    reader.inTuplet = False
    reader.lastNote = None
    reader.currentBeamNumbers = 0
    reader.currentTupletQL = reader.desiredTupletQL = 0.0
    return reader


class _Score:
    """A score that is being read, line by line."""

    def __init__(self) -> None:
        self._columns: list[_Column] = []
        self._spines: list[_Spine] = []

    @property
    def ended(self) -> bool:
        """True after the ``*-`` of all spines."""
        return bool(self._spines) and not self._columns

    def score(self) -> stream.Score:
        """The music21 score of what was read."""
        if any(_has_time(spine) for spine in self._kern()):
            self._close_bar()
        for spine in self._kern():
            spine.part.append(spine.measures)
        return stream.Score([s.part for s in reversed(self._spines) if s.measures])

    def read(self, tokens: Sequence[str], number: int) -> None:
        """Read the tokens of the next line."""
        if not self._columns:
            self._columns = [_Column(_Spine("")) for _ in tokens]
            self._spines = [column.spine for column in self._columns]
        # A barline or a clef is read in spite of a missing tab; a note could go astray.
        if tokens[0].startswith("="):
            self._barline(tokens[0])
            return
        interpretation = tokens[0].startswith("*")
        if interpretation:
            self._interpret(tokens)
        paths = interpretation and not _PATHS.isdisjoint(tokens)
        if len(tokens) != len(self._columns) and (paths or not interpretation):
            raise ScoreError(
                f"line {number} has {len(tokens)} columns, but {len(self._columns)} spines go on"
            )
        if paths:
            self._follow(tokens)
        elif not interpretation:
            self._sound(tokens)

    def _kern(self) -> Iterator[_Spine]:
        return (spine for spine in self._spines if spine.kind == "kern")

    def _sound(self, tokens: Sequence[str]) -> None:
        """Add the notes and dynamics of a line."""
        pairs = [
            (column, token)
            for column, token in zip(self._columns, tokens, strict=True)
            if token != "."
        ]
        kern = [pair for pair in pairs if pair[0].spine.kind == "kern"]
        clocks = {column.clock for column, _ in kern if not column.fresh}
        onsets: dict[int, Fraction | float] = {}  # of each spine that has a note here
        for column, token in kern:
            if not (_PITCH.search(token) or "r" in token):
                continue
            if column.fresh and clocks and column.clock not in clocks:
                # A subspine may begin with nothing, or while the note before the split sounds.
                column.clock = min(clocks)
            column.fresh = False
            element = _note(column.notes, token)
            onsets.setdefault(id(column.spine), column.clock)
            column.spine.events.append(_Event(column.clock, column.layer, element))
            column.clock = opFrac(column.clock + element.duration.quarterLength)
        for column, token in pairs:
            if column.spine.kind == "dynam":
                self._mark(column.spine.staffs, token, onsets)

    def _mark(self, staffs: Sequence[int], token: str, onsets: dict[int, Fraction | float]) -> None:
        """Add the dynamics of a **dynam token, such as ``f >``, to its staffs; no wedges."""
        for word in re.findall("[a-z]+", token):
            for spine in self._kern():
                onset = onsets.get(id(spine))
                if word in DYNAMICS and onset is not None and set(spine.staffs) & set(staffs):
                    spine.events.append(_Event(onset, 0, dynamics.Dynamic(word)))

    def _interpret(self, tokens: Sequence[str]) -> None:
        """Read clefs, keys, metres, tempi and names; those of subspines once."""
        seen: set[tuple[int, str]] = set()
        for column, token in zip(self._columns, tokens, strict=False):
            spine = column.spine
            if (id(spine), token) in seen:
                continue
            seen.add((id(spine), token))
            if token.startswith("**"):
                spine.kind = spine.kind or token[2:]
            elif token.startswith("*staff"):
                spine.staffs = tuple(map(int, re.findall(r"\d+", token)))
            elif token.startswith('*I"'):
                spine.part.partName = token[3:].strip()
            elif token.startswith("*I'"):
                spine.part.partAbbreviation = token[3:].strip()
            elif _KEY.fullmatch(token):
                _designate(spine, column.clock, token[1:-1])
            elif element := _tandem(token):
                if isinstance(element, key.KeySignature):
                    spine.signature = element
                spine.events.append(_Event(column.clock, 0, element))

    def _follow(self, tokens: Sequence[str]) -> None:
        """Follow the spine paths of a line: splits, joins, exchanges, ends and beginnings."""
        columns: list[_Column] = []
        pairs = zip(self._columns, tokens, strict=True)
        exchanged: _Column | None = None
        # Subspines that join, side by side in one spine, become one, however many they are.
        for (path, _), group in groupby(pairs, lambda pair: (pair[1], id(pair[0].spine))):
            members = [column for column, _ in group]
            if path == "*v":
                columns.append(_joined(members))
                continue
            for column in members:
                if path == "*^":
                    columns += _split(column)
                elif path == "*x" and exchanged is None:
                    exchanged = column
                elif path == "*x" and exchanged is not None:
                    columns += [column, exchanged]
                    exchanged = None
                elif path == "*+":
                    silent = max((len(spine.measures) for spine in self._spines), default=0)
                    self._spines.append(
                        _Spine("", measures=[stream.Measure() for _ in range(silent)])
                    )
                    columns += [column, _Column(self._spines[-1], fresh=True)]
                elif path != "*-":
                    columns.append(column)
        self._columns = columns
        for spine in self._spines:
            self._number_layers(spine)

    def _barline(self, token: str) -> None:
        """End the bar; barlines without music between them are one barline."""
        if any(_has_time(spine) for spine in self._kern()):
            self._close_bar()
        for column in self._columns:
            column.clock = 0.0
        for spine in self._kern():
            _open_bar(spine, token)
            self._number_layers(spine)

    def _close_bar(self) -> None:
        for spine in self._kern():
            _fill(spine.measure, spine.events)
            spine.measures.append(spine.measure)
            spine.measure, spine.events = stream.Measure(), []

    def _number_layers(self, spine: _Spine) -> None:
        """Number the subspines from left to right; once the bar has notes, the new ones alone."""
        columns = [column for column in self._columns if column.spine is spine]
        if len(columns) == 1 or not any(event.layer for event in spine.events):
            for column in columns:
                column.layer = 0
        taken = {column.layer for column in columns}
        free = iter(sorted(set(range(1, len(columns) + 1)) - taken))
        for column in columns:
            column.layer = column.layer or next(free)


def _has_time(spine: _Spine) -> bool:
    return any(event.element.duration.quarterLength for event in spine.events)


def _split(column: _Column) -> tuple[_Column, _Column]:
    """The two subspines after ``*^``; the left one keeps the layer."""
    column.fresh = True
    return column, _Column(column.spine, layer=0, clock=column.clock, fresh=True)


def _joined(columns: Sequence[_Column]) -> _Column:
    """The one column after ``*v`` in several."""
    first = columns[0]
    first.clock = max(column.clock for column in columns)
    first.layer = min(column.layer for column in columns)
    first.fresh = all(column.fresh for column in columns)
    return first


def _open_bar(spine: _Spine, token: str) -> None:
    """Begin a spine's bar, with the barline before it."""
    before = spine.measures[-1] if spine.measures else spine.measure
    ended = before.rightBarline
    repeat = spine.measure.leftBarline
    spine.measure = hdStringToMeasure(token, before)
    # Of two barlines without music between them, the one that says more.
    if isinstance(ended, bar.Repeat) or (ended and before.rightBarline.type == "regular"):
        before.rightBarline = ended
    if spine.measure.leftBarline is None:
        spine.measure.leftBarline = repeat


def _fill(measure: stream.Measure, events: Sequence[_Event]) -> None:
    """Put the events of a bar into its measure, those of several layers into voices."""
    layers = sorted({event.layer for event in events} - {0})
    voices = {layer: stream.Voice(id=str(layer)) for layer in layers if len(layers) > 1}
    for event in events:
        voices.get(event.layer, measure).coreInsert(event.onset, event.element)
    for voice in voices.values():
        voice.coreElementsChanged()
        measure.coreInsert(0.0, voice)
    measure.coreElementsChanged()


def _note(reader: KernSpine, token: str) -> note.GeneralNote:
    """The note, chord or rest of a token; hidden rests (``yy``) are hidden."""
    members = [one for one in token.split() if "r" not in one and _PITCH.search(one)]
    if len(members) > 1:
        return reader.processChordEvent(" ".join(members))
    element = reader.processNoteEvent(members[0] if members else token.split()[0])
    if isinstance(element, note.Rest) and "yy" in token:
        element.style.hideObjectOnPrint = True
    return element


def _designate(spine: _Spine, clock: Fraction | float, name: str) -> None:
    """Read a key such as ``*e:``, the mode of the signature before it.

    Without a signature, it is one; with another signature, it only says where the music goes.
    """
    designated = key.Key(name)
    if spine.signature is None:
        spine.events.append(_Event(clock, 0, designated))
    elif designated.sharps != spine.signature.sharps:
        return
    for event in spine.events:
        if event.element is spine.signature:
            event.element = designated
    spine.signature = designated


def _tandem(token: str) -> Music21Object | None:
    """The clef, metre, signature, tempo or instrument of an interpretation; None for others."""
    if match := _CLEF.fullmatch(token):
        return clef.clefFromString(match[1] + match[3], _OCTAVES.get(match[2], 0))
    if token == "*clefX":
        return clef.PercussionClef()
    if match := _METER.fullmatch(token):
        beats, unit = match.groups()
        if unit in _BREVES:
            beats, unit = str(sum(map(int, beats.split("+"))) * _BREVES[unit]), "1"
        return meter.TimeSignature(f"{beats}/{unit}")
    if match := _SIGNATURE.fullmatch(token):
        return key.KeySignature(match[1].count("#") or -match[1].count("-"))
    if match := _TEMPO.fullmatch(token):
        words, number = match["words"], match["number"]
        return (
            tempo.MetronomeMark(text=words) if words else tempo.MetronomeMark(number=float(number))
        )
    return _instrument(token) if token.startswith("*I") else None


def _instrument(token: str) -> instrument.Instrument | None:
    """The instrument of an ``*Ivioln``; in **kern it sounds as written."""
    try:
        found = instruments.fromHumdrumInstrument(token[2:])
    except instruments.HumdrumInstrumentException:
        return None
    found.transposition = None
    return found
