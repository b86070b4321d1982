"""Tune to music21: parts, staves, measures, and ties between voices of a staff."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from music21 import (
    clef,
    instrument,
    interval,
    layout,
    metadata,
    meter,
    note,
    spanner,
    stream,
)
from music21.base import Music21Object
from music21.exceptions21 import InstrumentException

from notagen.errors import ScoreError
from notagen.notation.clean import CONTROL
from notagen.notation.keys import Key, header_key
from notagen.notation.tune import Tune
from notagen.scores.barlines import endings, put_barlines
from notagen.scores.fields import key_signature, parse_clef, parse_meter, parse_tempo
from notagen.scores.layers import STAFF_WIDE, is_note
from notagen.scores.size import check_size
from notagen.scores.text_strings import plain_text
from notagen.scores.ties import join_ties
from notagen.scores.to_music21_elements import make_duration
from notagen.scores.to_music21_voice import TimedElement, VoiceToMusic21

_WHOLE = Fraction(4)  # quarters
_MAX_BAR = 256  # quarters; an untrained model writes bars that fill pages with one tied note

# `nm="Violin I"` or `clef=bass` in `V:1 treble nm="Violin I" clef=bass`
_ATTRIBUTE = re.compile(r'(?P<name>[a-z-]{1,20})=(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')
_OCTAVE = re.compile(r"[-+]?[0-4]")
_TRANSPOSE = re.compile(r"[-+]?\d{1,2}")
_SYMBOLS = {"[": "bracket", "{": "brace"}


class _Voice:
    """A converted voice.

    Attributes:
        barlines: the one before the first bar, then those after each bar.
        bars: timed elements of each bar.
        lengths: of the bars, in quarters.
        spans: slurs, wedges and lines.
    """

    def __init__(self, tune: Tune, name: str, line: VoiceLine, key: Key) -> None:
        self.barlines = [tune.bars[0][name].left, *(bar[name].right for bar in tune.bars)]
        conversion = VoiceToMusic21(key, line.clef, tune.unit_length * _WHOLE, line.octave)
        whole = (tune.metre or 1) * _WHOLE
        bars = [conversion.convert(bar[name].text, whole) for bar in tune.bars]
        self.bars: list[list[TimedElement]] = [elements for elements, _ in bars]
        self.lengths = [length for _, length in bars]
        self.spans: list[spanner.Spanner] = conversion.spans


def to_music21(tune: Tune) -> stream.Score:
    """Convert a tune to a music21 score, left-out rests completed.

    Each staff of ``%%score`` becomes a part, and the voices that share it ``Voice`` streams; the
    staves of a brace become those of one instrument if only the first has a name. Bars are filled
    with hidden rests up to their longest voice, so that parts stay together.

    Raises:
        NotationError: (a ValueError) the header's metre or unit length can't be read.
        ScoreError: (a ValueError) a bar is longer than 256 quarters, a note has more than two
            accidentals, the text holds control characters, or it is longer than a score.
    """
    if CONTROL.search(tune.to_interleaved()):
        raise ScoreError("the text holds control characters; clean it first")
    tune = tune.complete_rests()
    check_size(tune)
    plan, groups = staff_plan(tune)
    lines = [voice_line(tune, names[0]) for names in plan]
    key = header_key(tune.header) or Key(0, "")
    staffs = [
        [_Voice(tune, name, replace(voice_line(tune, name), clef=line.clef), key) for name in names]
        for names, line in zip(plan, lines, strict=True)
    ]
    lengths = [
        max(bar)
        for bar in zip(*(voice.lengths for staff in staffs for voice in staff), strict=True)
    ]
    if max(lengths) > _MAX_BAR:
        raise ScoreError(
            f"bar {lengths.index(max(lengths)) + 1} lasts {max(lengths)} quarters; no bar of music "
            f"is longer than {_MAX_BAR}"
        )
    keyboards = _keyboards(lines, groups)
    score = stream.Score()
    score.metadata = _metadata(tune)
    parts: list[stream.Part] = []
    for number, (staff, line) in enumerate(zip(staffs, lines, strict=True)):
        part = stream.PartStaff() if number in keyboards else stream.Part()
        part.partName, part.partAbbreviation = line.name, line.abbreviation
        part.insert(0, _instrument(lines[keyboards.get(number, number)]))
        first = [line.clef, key_signature(key), parse_meter(tune.field("M"))]
        if not parts:
            first.append(parse_tempo(tune.field("Q")))
        _fill_part(part, staff, lengths, [one for one in first if one is not None])
        parts.append(part)
        score.insert(0, part)
    for group in groups:
        members = parts[group.first : group.last + 1]
        score.insert(
            0, layout.StaffGroup(members, symbol=group.symbol, barTogether=group.barlines_joined)
        )
    score.atSoundingPitch = False  # of transposing instruments: written pitches, as in ABC
    return score


def _fill_part(
    part: stream.Part,
    staff: Sequence[_Voice],
    lengths: Sequence[Fraction],
    first: Sequence[Music21Object],
) -> None:
    """Fill a part with its measures, barlines, endings and spans.

    ``first`` holds the header's clef, key, metre and tempo.
    """
    part.streamStatus.beams = True  # so that music21 adds no beams of its own
    measures: list[stream.Measure] = []
    metre: meter.TimeSignature | None = None
    onset = Fraction(0)
    for index, length in enumerate(lengths):
        bars = [voice.bars[index] for voice in staff]
        measure = make_measure(bars, length, () if index else first)
        metre = measure.timeSignature or metre
        _set_padding(measure, metre, length, upbeat=not index)
        if metre is None:
            # A rest that fills its bar is written whole, of any length; without a metre music21
            # 10.5 can't write it, and this has it split.
            for rest in measure.recurse().getElementsByClass(note.Rest):
                rest.fullMeasure = False
        measures.append(measure)
        # Stream.insert looks through all measures each time: quadratic (music21 10.5).
        part.coreInsert(onset, measure, ignoreSort=True)
        onset += length
    part.coreElementsChanged()
    for number, measure in enumerate(measures, start=0 if measures[0].paddingLeft else 1):
        measure.number = number
    put_barlines(measures, staff[0].barlines)
    join_ties(measures)
    for span in endings(measures, staff[0].barlines):
        part.insert(0, span)
    for voice in staff:
        for span in voice.spans:
            part.insert(0, span)


def _set_padding(
    measure: stream.Measure, metre: meter.TimeSignature | None, length: Fraction, upbeat: bool
) -> None:
    """Set how much a short measure lacks, at its start for an upbeat, else at its end."""
    missing = metre.barDuration.quarterLength - length if metre is not None else 0
    if missing > 0:
        measure.paddingLeft, measure.paddingRight = (missing, 0) if upbeat else (0, missing)


def _keyboards(lines: Sequence[VoiceLine], groups: Sequence[Group]) -> dict[int, int]:
    """Staves of instruments with several, mapped to the first staff of the instrument."""
    return {
        staff: group.first
        for group in groups
        if group.symbol == "brace"
        and not any(line.name for line in lines[group.first + 1 : group.last + 1])
        for staff in range(group.first, group.last + 1)
    }


def _instrument(line: VoiceLine) -> instrument.Instrument:
    """The instrument of a name, drums for a percussion clef; a piano for unknown names."""
    player: instrument.Instrument
    if isinstance(line.clef, clef.PercussionClef):
        player = instrument.UnpitchedPercussion()
    else:
        try:
            player = instrument.fromString(line.name)
        except InstrumentException:
            player = instrument.Piano()
    player.partName = line.name
    player.partAbbreviation = player.instrumentAbbreviation = line.abbreviation
    player.transposition = interval.Interval(line.transpose) if line.transpose else None
    return player


def _metadata(tune: Tune) -> metadata.Metadata:
    """Title from ``T:``, composer from ``C:`` or the prompt's second line."""
    prompt = [line[1:].strip() for line in tune.header if line[:1] == "%" and line[1:2] != "%"]
    composer = plain_text(tune.field("C")) or (prompt[1] if len(prompt) > 1 else "")
    return metadata.Metadata(title=plain_text(tune.field("T")), composer=composer)


def make_measure(
    voices: Sequence[Sequence[TimedElement]], length: Fraction, first: Iterable[Music21Object] = ()
) -> stream.Measure:
    """Make a measure from the elements of its voices.

    Voices with hidden rests alone are left out, unless there are no others.

    Args:
        voices: (onset in quarters, element) of each voice.
        length: of the measure, in quarters.
        first: clef, key and metre at its start, where the voices begin with no others.
    """
    measure = stream.Measure()
    # Each voice carries the clef, key and metre of its staff; the staff takes each of them once.
    staff_wide: dict[tuple[Fraction, type], Music21Object] = {}
    for onset, element in [*((Fraction(0), one) for one in first), *_marks(voices)]:
        kind = next((kind for kind in STAFF_WIDE if isinstance(element, kind)), None)
        if kind is not None:
            staff_wide[onset, kind] = element
        else:
            measure.insert(onset, element)
    for (onset, _), element in staff_wide.items():
        measure.insert(onset, element)
    notes = [[(onset, one) for onset, one in voice if is_note(one)] for voice in voices]
    sounding = [voice for voice in notes if not all(map(_is_hidden, voice))] or notes[:1]
    for number, voice in enumerate(sounding, start=1):
        target = measure if len(sounding) == 1 else stream.Voice(id=str(number))
        _fill(target, voice, length)
        if target is not measure:
            measure.insert(0, target)
    return measure


def _marks(voices: Sequence[Sequence[TimedElement]]) -> Iterable[TimedElement]:
    return ((onset, one) for voice in voices for onset, one in voice if not is_note(one))


def _fill(target: stream.Stream, voice: Sequence[TimedElement], length: Fraction) -> None:
    """Insert notes and rests, and a hidden rest up to the end of the bar."""
    end = Fraction(0)
    for onset, element in voice:
        target.insert(onset, element)
        end = max(end, onset + Fraction(element.duration.quarterLength))
    if end < length:
        filler = note.Rest(duration=make_duration(length - end))
        filler.style.hideObjectOnPrint = True
        target.insert(end, filler)


def _is_hidden(timed: TimedElement) -> bool:
    _, element = timed
    # `style` alone would create a style for each element without one.
    return element.hasStyleInformation and bool(element.style.hideObjectOnPrint)


@dataclass(frozen=True, slots=True)
class VoiceLine:
    """Content of a ``V:`` line; ``transpose`` is in semitones, from written to sounding pitch.

    ``octave`` is added to all notes as they are written in ABC.
    """

    clef: clef.Clef
    name: str = ""
    abbreviation: str = ""
    transpose: int = 0
    octave: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Staves ``first`` to ``last`` held together by a bracket or brace."""

    symbol: str
    first: int
    last: int
    barlines_joined: bool


def voice_line(tune: Tune, voice: str) -> VoiceLine:
    """Parse a voice's ``V:`` line, and below it what the header's ``K:`` says of all voices.

    Without any, a treble staff without a name.
    """
    opening = f"V:{voice} "
    own = next((line for line in tune.header if f"{line} ".startswith(opening)), opening)
    # `K:D octave=-1 bass`: without its first word, the key
    keys = [line.partition(" ")[2] for line in tune.header if line.startswith("K:")]
    texts = [own.partition(" ")[2], *reversed(keys)]
    found = [match for text in reversed(texts) for match in _ATTRIBUTE.finditer(text)]
    attributes = {match["name"]: match["quoted"] or match["plain"] or "" for match in found}
    words = [word for text in texts for word in _clef_words(text)]
    clefs = [sign for sign in map(parse_clef, words) if sign is not None]
    transpose, octave = attributes.get("transpose", ""), attributes.get("octave", "")
    return VoiceLine(
        clef=clefs[0] if clefs else clef.TrebleClef(),
        name=_plain(attributes.get("nm") or attributes.get("name") or ""),
        abbreviation=_plain(attributes.get("snm") or attributes.get("sname") or ""),
        transpose=int(transpose) if _TRANSPOSE.fullmatch(transpose) else 0,
        octave=int(octave) if _OCTAVE.fullmatch(octave) else 0,
    )


def _clef_words(text: str) -> Iterator[str]:
    """Words of a field that may name its clef."""
    yield from _ATTRIBUTE.sub("", text).split()
    yield from (m["plain"] or "" for m in _ATTRIBUTE.finditer(text) if m["name"] == "clef")


def staff_plan(tune: Tune) -> tuple[list[tuple[str, ...]], list[Group]]:
    """Parse ``%%score``: the voices of each staff, and the groups of staves.

    ``{ 1 | ( 2 3 ) } 4`` gives staves (1), (2, 3), (4) and a brace over the first two, with joined
    barlines. Voices that it does not name get a staff of their own, below the others; names of
    voices that the tune does not have are left out.
    """
    line = next((line for line in tune.header if line.startswith("%%score")), "")
    voices = tune.voices
    staffs: list[tuple[str, ...]] = []
    groups: list[Group] = []
    opened: list[tuple[str, int]] = []  # open groups: symbol and first staff
    sharing: list[str] | None = None  # voices of the staff in ( )
    joins: set[int] = set()  # staves whose barlines run on to the next
    for word in re.findall(r"[][{}()|]|[^][{}()|\s]+", line.removeprefix("%%score")):
        if word == "(":
            sharing = []
        elif word == ")":
            if sharing:
                staffs.append(tuple(sharing))
            sharing = None
        elif word in _SYMBOLS:
            opened.append((_SYMBOLS[word], len(staffs)))
        elif word in "]}":
            if opened:
                symbol, first = opened.pop()
                groups.append(Group(symbol, first, len(staffs) - 1, first in joins))
        elif word == "|":
            joins.add(len(staffs) - 1)
        elif word in voices and sharing is not None:
            sharing.append(word)
        elif word in voices:
            staffs.append((word,))
    named = {voice for staff in staffs for voice in staff}
    staffs += [(voice,) for voice in voices if voice not in named]
    return staffs, [group for group in groups if group.first < group.last]


def _plain(name: str) -> str:
    """Drop the line breaks that some published headers carry in names (``\\n\\t:Viola``)."""
    return " ".join(name.replace("\\n", " ").split()).removeprefix(":")
