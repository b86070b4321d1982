"""Standard MIDI File to music21: parts, bars, keys, spelling, tempi."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import floor

from music21 import bar, clef, key, meter, stream, tempo
from music21.exceptions21 import InstrumentException
from music21.instrument import fromString, instrumentFromMidiProgram

from notagen.errors import ScoreError
from notagen.scores.drums import drum_place
from notagen.scores.midi_events import DRUMS, MidiNote, MidiScore, Track, parse_midi
from notagen.scores.midi_spelling import Name, likely_fifths, spell
from notagen.scores.midi_voices import add_fragments, by_bar, sounds_of, voices_of
from notagen.scores.quantize import Quantized, quantize

_MAX_BARS = 5_000
_MAX_SILENCE = 1_000  # quarters between two onsets
_MIDDLE_C = 60
_MIN_TEMPO = 4  # quarters per minute
_ROUNDED = 0.05


@dataclass(slots=True)
class Part:
    """Notes of a track, or of one of its channels, on the grid."""

    name: str
    drums: bool
    keys: dict[Fraction, tuple[int, bool]]
    notes: list[Quantized]
    names: list[Name] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Bars:
    """Bar lines of all parts, in quarters: ``edges`` has one more than there are bars.

    ``metres`` are those that begin with a bar, by its number.
    """

    edges: list[Fraction]
    metres: dict[int, str]


def from_midi(content: bytes) -> stream.Score:
    """Read a Standard MIDI File as a score with measures.

    Each track is a part; where one track holds all notes, as in format 0, each channel is. The
    notes of channel 10 are percussion. Metres, keys and tempi hold for all parts.

    Raises:
        ScoreError: (a ValueError) it is no MIDI file, of format 2, in SMPTE time, or without notes.
    """
    midi = parse_midi(content)
    parts = _parts(midi)
    if not parts:
        raise ScoreError("the MIDI file holds no notes.")
    end = max(Fraction(1), *(one.end for part in parts for one in part.notes))
    onsets = {one.onset for part in parts for one in part.notes}
    for before, after in pairwise(sorted({Fraction(0), *onsets, end})):
        if after - before > _MAX_SILENCE:
            raise ScoreError(
                "the MIDI file is damaged: nothing begins in the "
                f"{float(after - before):.0f} quarters after quarter {float(before):g}."
            )
    _spell(parts)
    bars = _bars(midi, end)
    score = stream.Score()
    for number, part in enumerate(parts):
        made = _fill(part, bars)
        if not number:
            _add_tempi(made, midi.tempi, bars.edges)
        score.insert(0, made)
    return score


def _parts(midi: MidiScore) -> list[Part]:
    """Parts in the order of their tracks and channels."""
    keys = {
        onset: (sharps, minor) for t in reversed(midi.tracks) for onset, sharps, minor in t.keys
    }
    sounding = [track for track in midi.tracks if track.notes]
    parts = []
    for track in sounding:
        by_channel: defaultdict[int, list[MidiNote]] = defaultdict(list)
        for one in track.notes:
            drums = one.channel == DRUMS
            apart = drums or len(sounding) == 1
            by_channel[one.channel if apart else 0].append(one)
        own = {onset: (sharps, minor) for onset, sharps, minor in track.keys}
        for channel, notes in sorted(by_channel.items()):
            name = _part_name(track, channel or notes[0].channel, alone=len(by_channel) == 1)
            found = sorted(quantize(notes, midi.division))
            if channel == DRUMS:
                found = _ringing(found)
            parts.append(Part(name, channel == DRUMS, keys | own, found))
    return parts


def _ringing(strokes: Sequence[Quantized]) -> list[Quantized]:
    """Drums up to the next stroke or quarter: when their notes end has no meaning."""
    onsets = sorted({one.onset for one in strokes})
    ends = {
        onset: min(following, Fraction(floor(onset) + 1))
        for onset, following in zip(onsets, [*onsets[1:], onsets[-1] + 1], strict=True)
    }
    return [one._replace(end=ends[one.onset]) for one in strokes]


def _part_name(track: Track, channel: int, alone: bool) -> str:
    """The track's name, or that of the channel's instrument."""
    if track.name and alone:
        return track.name
    if channel == DRUMS:
        return "Drums"
    if channel not in track.programs:
        return track.name
    try:
        return str(instrumentFromMidiProgram(track.programs[channel]).instrumentName or track.name)
    except InstrumentException:
        return track.name


def _spell(parts: Sequence[Part]) -> None:
    """Name the notes of all parts, each in the context of the others."""
    pitched = [
        (onset, p, i, one)
        for p, part in enumerate(parts)
        if not part.drums
        for i, (onset, _, one) in enumerate(part.notes)
    ]
    pitched.sort(key=lambda one: (one[0], one[3], one[1]))
    pitches = [one for *_, one in pitched]
    unknown = likely_fifths(pitches) if pitches else 0
    fifths = [_fifths(parts[p].keys, onset, unknown) for onset, p, _, _ in pitched]
    for part in parts:
        part.names = [("C", 0, 4)] * len(part.notes)
        if part.drums:
            places = [drum_place(one) for *_, one in part.notes]
            part.names = [(letter, 0, octave) for letter, octave in places]
    for (_, p, i, _), name in zip(pitched, spell(pitches, fifths), strict=True):
        parts[p].names[i] = name


def _fifths(keys: dict[Fraction, tuple[int, bool]], onset: Fraction, unknown: int) -> int:
    before = [at for at in keys if at <= onset]
    return keys[max(before)][0] if before else unknown


def _bars(midi: MidiScore, end: Fraction) -> Bars:
    """Bars from the metres of all tracks up to the end of the last note.

    A metre in mid-bar begins a bar. A single first bar in a shorter metre than the next is an
    upbeat to it, as notation programs write one.
    """
    changes: dict[Fraction, tuple[int, int]] = {}
    for onset, beats, unit in midi.metres:  # of two at once the first track's
        changes.setdefault(Fraction(round(onset * 32), 32), (beats, unit))
    changes.setdefault(Fraction(0), (4, 4))
    starts = sorted(changes)
    if len(starts) > 1 and starts[1] == _length(changes[starts[0]]) < _length(changes[starts[1]]):
        changes[starts[0]] = changes[starts[1]]
    edges, metres = [Fraction(0)], {}
    last: tuple[int, int] | None = None
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        if start >= end:
            break
        metre = changes[start]
        if metre != last:
            metres[len(edges) - 1] = f"{metre[0]}/{metre[1]}"
            last = metre
        limit = end if following is None else min(end, following)
        if (limit - edges[-1]) / _length(metre) > _MAX_BARS:
            raise ScoreError(f"the last note of the MIDI file ends after {_MAX_BARS} bars.")
        while edges[-1] < limit:
            step = edges[-1] + _length(metre)
            edges.append(step if following is None else min(step, following))
    return Bars(edges, metres)


def _length(metre: tuple[int, int]) -> Fraction:
    return Fraction(4 * metre[0], metre[1])


def _fill(part: Part, bars: Bars) -> stream.Part:
    made = stream.Part()
    made.partName = part.name
    made.partAbbreviation = _abbreviation(part.name)
    voices = voices_of(sounds_of(part.notes, part.names, part.drums), bars.edges)
    fragments = [by_bar(voice, bars.edges) for voice in voices]
    keys = {} if part.drums else _keys_by_bar(part, bars.edges)
    for index, (onset, end) in enumerate(pairwise(bars.edges)):
        measure = stream.Measure(number=index + 1)
        if not index:
            measure.insert(0, _clef(part))
        for at, signature in keys.get(index, ()):
            measure.insert(at, signature)
        if index in bars.metres:
            measure.insert(0, meter.TimeSignature(bars.metres[index]))
        for number, voice in enumerate(fragments):
            target = measure if len(fragments) == 1 else stream.Voice(id=str(number + 1))
            # Rests stand in the first voice; gaps in the others are hidden.
            add_fragments(target, voice.get(index, ()), end - onset, part.drums, rests=not number)
            if target is not measure and len(target):
                measure.insert(0, target)
        made.insert(onset, measure)
    measure.rightBarline = bar.Barline("final")
    return made


def _add_tempi(
    part: stream.Part, tempi: Sequence[tuple[Fraction, float]], edges: Sequence[Fraction]
) -> None:
    """Add metronome marks; of a curve that was played, with more than one a bar, the first."""
    measures = part.getElementsByClass(stream.Measure)
    marks: dict[Fraction, float] = {}
    for onset, number in tempi:
        if onset < edges[-1] and number >= _MIN_TEMPO:
            marks[Fraction(round(onset * 32), 32)] = number
    last = None
    for onset, number in list(marks.items())[: None if len(marks) <= len(measures) else 1]:
        plain = _plain(number)
        if plain != last:
            index = bisect_right(edges, onset) - 1
            measures[index].insert(onset - edges[index], tempo.MetronomeMark(number=plain))
            last = plain


def _plain(number: float) -> float:
    """A tempo without the rounding of a file that counts microseconds."""
    return round(number) if abs(number - round(number)) < _ROUNDED else round(number, 2)


def _abbreviation(name: str) -> str | None:
    """music21's abbreviation of an instrument whose name this is."""
    try:
        known = fromString(name)
    except InstrumentException:
        return None
    same = (known.instrumentName or "").lower() == name.lower()
    return known.instrumentAbbreviation if same else None


def _clef(part: Part) -> clef.Clef:
    if part.drums:
        return clef.PercussionClef()
    mean = sum(one for *_, one in part.notes) / len(part.notes)
    return clef.TrebleClef() if mean >= _MIDDLE_C else clef.BassClef()


def _keys_by_bar(
    part: Part, edges: Sequence[Fraction]
) -> dict[int, list[tuple[Fraction, key.KeySignature]]]:
    """Key signatures by the number of their bar, with their place in it; C major without any."""
    found: defaultdict[int, list[tuple[Fraction, key.KeySignature]]] = defaultdict(list)
    last = None
    for onset, (sharps, minor) in sorted({Fraction(0): (0, False), **part.keys}.items()):
        index = bisect_right(edges, onset) - 1
        if part.drums or (sharps, minor) == last or index >= len(edges) - 1:
            continue
        last = sharps, minor
        signature = key.KeySignature(sharps).asKey("minor" if minor else "major")
        found[index].append((Fraction(round((onset - edges[index]) * 32), 32), signature))
    return found
