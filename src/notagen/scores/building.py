"""A Tune as a music21 score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from music21 import clef, instrument, interval, layout, metadata, meter, spanner, stream
from music21.base import Music21Object
from music21.exceptions21 import InstrumentException

from notagen.notation.keys import Key, parse_key
from notagen.notation.tune import Tune
from notagen.scores.barlines import endings, put_barlines
from notagen.scores.errors import ScoreError
from notagen.scores.fields import key_signature, parse_meter, parse_tempo
from notagen.scores.header import Group, VoiceLine, staff_plan, voice_line
from notagen.scores.measure_building import make_measure
from notagen.scores.ties import join_ties
from notagen.scores.voice_reading import Placed, VoiceReader

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # what XML can't hold
_WHOLE = Fraction(4)  # quarters
_LONGEST_BAR = 256  # quarters: what an untrained model writes would fill pages with one tied note


class _Voice:
    """A voice as read: the elements and length in quarters of each bar, and what spans them."""

    def __init__(self, tune: Tune, name: str, sign: clef.Clef, key: Key) -> None:
        self.barlines = [tune.bars[0][name].left, *(bar[name].right for bar in tune.bars)]
        reader = VoiceReader(key, sign, tune.unit_length * _WHOLE)
        whole = (tune.metre or 1) * _WHOLE
        bars = [reader.bar(bar[name].text, whole) for bar in tune.bars]
        self.bars: list[list[Placed]] = [placed for placed, _ in bars]
        self.lengths = [length for _, length in bars]
        self.spans: list[spanner.Spanner] = reader.spans


def to_music21(tune: Tune) -> stream.Score:
    """Build the score that a tune describes, left-out rests completed.

    Each staff of ``%%score`` becomes a part, and the voices that share it ``Voice`` streams; a
    brace of which only the first staff has a name becomes the staves of one instrument. Bars are
    filled with hidden rests up to their longest voice, so that parts stay together.

    Raises:
        NotationError: (a ValueError) the header's metre or unit length can't be read.
        ScoreError: (a ValueError) a bar is longer than any in music, or the text holds control
            characters.
    """
    if _CONTROL.search(tune.to_interleaved()):
        raise ScoreError("the text holds control characters; clean it first")
    tune = tune.complete_rests()
    plan, groups = staff_plan(tune)
    lines = [voice_line(tune, names[0]) for names in plan]
    key = parse_key(_field(tune, "K")) or Key(0, "")
    staffs = [
        [_Voice(tune, name, line.clef, key) for name in names]
        for names, line in zip(plan, lines, strict=True)
    ]
    lengths = [
        max(bar)
        for bar in zip(*(voice.lengths for staff in staffs for voice in staff), strict=True)
    ]
    if max(lengths) > _LONGEST_BAR:
        raise ScoreError(
            f"bar {lengths.index(max(lengths)) + 1} lasts {max(lengths)} quarters; no bar of music "
            f"is longer than {_LONGEST_BAR}"
        )
    keyboards = _keyboards(lines, groups)
    score = stream.Score()
    score.metadata = _metadata(tune)
    parts: list[stream.Part] = []
    for number, (staff, line) in enumerate(zip(staffs, lines, strict=True)):
        part = stream.PartStaff() if number in keyboards else stream.Part()
        part.partName, part.partAbbreviation = line.name, line.abbreviation
        part.insert(0, _instrument(lines[keyboards.get(number, number)]))
        first = [line.clef, key_signature(key), parse_meter(_field(tune, "M"))]
        if not parts:
            first.append(parse_tempo(_field(tune, "Q")))
        _put_music(part, staff, lengths, [mark for mark in first if mark is not None])
        parts.append(part)
        score.insert(0, part)
    for group in groups:
        members = parts[group.first : group.last + 1]
        score.insert(
            0, layout.StaffGroup(members, symbol=group.symbol, barTogether=group.barlines_joined)
        )
    score.atSoundingPitch = False  # as far as players transpose
    return score


def _put_music(
    part: stream.Part,
    staff: Sequence[_Voice],
    lengths: Sequence[Fraction],
    first: Sequence[Music21Object],
) -> None:
    """Fill a part with its measures, barlines, endings and spans."""
    part.streamStatus.beams = True  # as written: what has no beam is meant so
    measures: list[stream.Measure] = []
    metre: meter.TimeSignature | None = None
    onset = Fraction(0)
    for index, length in enumerate(lengths):
        bars = [voice.bars[index] for voice in staff]
        measure = make_measure(bars, length, () if index else first)
        metre = measure.timeSignature or metre
        _set_padding(measure, metre, length, upbeat=not index)
        measures.append(measure)
        part.insert(onset, measure)
        onset += length
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
    """Tell music21 how much a short measure lacks, at its start for an upbeat, else at its end."""
    missing = metre.barDuration.quarterLength - length if metre is not None else 0
    if missing > 0:
        measure.paddingLeft, measure.paddingRight = (missing, 0) if upbeat else (0, missing)


def _keyboards(lines: Sequence[VoiceLine], groups: Sequence[Group]) -> dict[int, int]:
    """Map each staff that one player has together with others to the first of them."""
    return {
        staff: group.first
        for group in groups
        if group.symbol == "brace"
        and not any(line.name for line in lines[group.first + 1 : group.last + 1])
        for staff in range(group.first, group.last + 1)
    }


def _instrument(line: VoiceLine) -> instrument.Instrument:
    """Return the instrument of that name, or for other names one that sounds as a piano."""
    try:
        player = instrument.fromString(line.name)
    except InstrumentException:
        player = instrument.Piano()
    player.partName = line.name
    player.partAbbreviation = player.instrumentAbbreviation = line.abbreviation
    player.transposition = interval.Interval(line.transpose) if line.transpose else None
    return player


def _metadata(tune: Tune) -> metadata.Metadata:
    """Take the title from ``T:``, the composer from ``C:`` or the prompt's second line."""
    prompt = [line[1:].strip() for line in tune.header if line[:1] == "%" and line[1:2] != "%"]
    composer = _field(tune, "C") or (prompt[1] if len(prompt) > 1 else "")
    return metadata.Metadata(title=_field(tune, "T"), composer=composer)


def _field(tune: Tune, letter: str) -> str:
    lines = (line[2:].strip() for line in tune.header if line.startswith(f"{letter}:"))
    return next(lines, "")
