"""Tune as it sounds: repeats played, tied notes struck once, chord symbols silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from music21 import chord, harmony, key, meter, note, stream, tempo, volume
from music21.repeat import ExpanderException

from notagen.notation import Tune
from notagen.scores.drums import drum_key
from notagen.scores.to_music21 import to_music21

_MAX_DIVISOR = 20160  # of a quarter
_DEFAULT_TEMPO = 120.0  # quarters per minute
_TIES_FROM, _TIES_TO = ("stop", "continue"), ("start", "continue")


class Played(NamedTuple):
    """A note as it sounds; ``onset`` and ``end`` in quarters, equal for grace notes.

    ``pitch`` is a MIDI number, in a drum part a percussion key; ``velocity`` is 1 to 127.
    """

    onset: Fraction
    end: Fraction
    pitch: int
    velocity: int


@dataclass(frozen=True, slots=True)
class PlayedPart:
    """Notes of a part in the order of their onsets; ``program`` is General MIDI's, from 0."""

    name: str
    program: int
    drums: bool
    notes: list[Played]


@dataclass(frozen=True, slots=True)
class Performance:
    """Parts, and what holds for all of them, each with its onset in quarters.

    Attributes:
        parts: in the order of the score.
        tempi: quarters per minute; the first at 0.
        metres: beats and unit; also of bars that are shorter or longer than their metre.
        keys: sharps (negative: flats), and whether it is minor.
    """

    parts: list[PlayedPart]
    tempi: list[tuple[Fraction, float]]
    metres: list[tuple[Fraction, tuple[int, int]]]
    keys: list[tuple[Fraction, tuple[int, bool]]]

    def seconds(self, quarters: Fraction) -> float:
        """Time of an onset or end."""
        total = 0.0
        for index, (start, number) in enumerate(self.tempi):
            end = self.tempi[index + 1][0] if index + 1 < len(self.tempi) else quarters
            total += 60 / number * float(max(min(end, quarters) - start, Fraction(0)))
        return total


def perform(tune: Tune) -> Performance:
    """Play a tune. Repeats that do not fit together are played once.

    Raises:
        ScoreError: (a ValueError) the tune can't be converted; see :func:`to_music21`.
    """
    score = to_music21(tune).toSoundingPitch()
    score.removeByClass(harmony.Harmony)
    for inner in list(score.recurse(streamsOnly=True)):
        inner.removeByClass(harmony.Harmony)
    with suppress(ExpanderException):  # repeats that do not fit together
        score = score.expandRepeats()
    parts = list(score.parts)
    measures = list(parts[0].getElementsByClass(stream.Measure))
    tempi: dict[Fraction, float] = {}
    for part in parts:
        for onset, mark in _timed(part, tempo.MetronomeMark):
            tempi.setdefault(onset, float(mark.getQuarterBPM() or _DEFAULT_TEMPO))
    tempi.setdefault(Fraction(0), _DEFAULT_TEMPO)
    return Performance(
        [_part(part) for part in parts],
        sorted(tempi.items()),
        list(_metres(measures)),
        [
            (onset, (one.sharps, getattr(one, "mode", "major") in ("minor", "dorian", "phrygian")))
            for onset, one in _timed(parts[0], key.KeySignature)
        ],
    )


@lru_cache(maxsize=1 << 14)
def _exact(quarters: float | Fraction) -> Fraction:
    """A time that music21 may have added up as floats: ties join where it is exactly equal."""
    return Fraction(quarters).limit_denominator(_MAX_DIVISOR)


def _timed(part: stream.Part, kind: type) -> Iterator[tuple[Fraction, Any]]:
    for measure in part.getElementsByClass(stream.Measure):
        for element in measure.recurse().getElementsByClass(kind):
            yield _exact(measure.offset) + _exact(element.getOffsetInHierarchy(measure)), element


def _metres(measures: Sequence[stream.Measure]) -> Iterator[tuple[Fraction, tuple[int, int]]]:
    """Metres, as the bars are long: an upbeat to 3/4 is a bar of 1/4 before the first of 3/4."""
    signature = meter.TimeSignature("4/4")
    before: tuple[int, int] | None = None
    for measure in measures:
        signature = measure.timeSignature or signature
        metre = (signature.numerator, signature.denominator)
        length = _exact(measure.duration.quarterLength)
        if length and length != Fraction(4 * metre[0], metre[1]):
            beats = length * max(metre[1], (length / 4).denominator) / 4
            unit = max(metre[1], (length / 4).denominator)
            if beats.denominator == 1 and beats < 256 and unit & (unit - 1) == 0:
                metre = (int(beats), unit)
        if metre != before:
            yield _exact(measure.offset), metre
        before = metre


def _part(part: stream.Part) -> PlayedPart:
    volume.realizeVolume(part)
    notes: list[Played] = []
    waiting: dict[tuple[Fraction, int], int] = {}  # tied notes by their end and pitch
    drums = False
    for onset, end, one, velocity in sorted(_struck(part), key=lambda struck: struck[:2]):
        if isinstance(one, note.Unpitched):
            drums, pitch = True, drum_key(one.displayStep, one.displayOctave)
        else:
            pitch = int(one.pitch.midi)
        kind = one.tie.type if one.tie is not None else None
        index = waiting.pop((onset, pitch), None) if kind in _TIES_FROM and end > onset else None
        if index is None:
            index = len(notes)
            notes.append(Played(onset, end, pitch, velocity))
        else:
            notes[index] = notes[index]._replace(end=end)
        if kind in _TIES_TO:
            waiting[end, pitch] = index
    player = part.getInstrument()
    return PlayedPart(part.partName or "", int(player.midiProgram or 0), drums, notes)


def _struck(part: stream.Part) -> Iterator[tuple[Fraction, Fraction, note.NotRest, int]]:
    """Onset, end and velocity of each note sign, also of the members of chords."""
    for onset, element in _timed(part, note.NotRest):
        if isinstance(element, harmony.Harmony) or not isinstance(element, note.NotRest):
            continue
        end = onset + _exact(element.duration.quarterLength)
        velocity = min(max(round(element.volume.cachedRealized * 127), 1), 127)
        for one in element.notes if isinstance(element, chord.ChordBase) else (element,):
            yield onset, end, one, velocity
