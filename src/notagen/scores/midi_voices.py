"""Voices of a MIDI part: chords, lines that do not overlap, and notes tied over bar lines."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import floor

from music21 import chord, duration, note, percussion, pitch, stream, tie

from notagen.scores.midi_spelling import Name
from notagen.scores.quantize import Quantized

_SIGNS = {-2: "--", -1: "-", 0: "", 1: "#", 2: "##"}


@dataclass(frozen=True, slots=True)
class Sound:
    """Notes that begin and end together, in quarters; grace notes if ``end`` is ``onset``."""

    onset: Fraction
    end: Fraction
    names: tuple[Name, ...]

    @property
    def height(self) -> float:
        """Mean place on the staff, in steps."""
        steps = (octave * 7 + "CDEFGAB".index(letter) for letter, _, octave in self.names)
        return sum(steps) / len(self.names)


@dataclass(frozen=True, slots=True)
class Fragment:
    """Part of a sound that one sign shows: ``onset`` in its bar and ``length``, in quarters."""

    onset: Fraction
    length: Fraction
    sound: Sound
    tied: str | None


def sounds_of(notes: Sequence[Quantized], names: Sequence[Name], drums: bool) -> list[Sound]:
    """Chords of the notes that begin and end together, in order.

    A chord has a pitch once: one that two voices of a track share is a sound of its own. Of drums
    that are printed in one place, one is kept.
    """
    sounds: list[Sound] = []
    timed = sorted(zip(notes, names, strict=True), key=lambda one: one[0])
    for (onset, end), members in groupby(timed, key=lambda one: one[0][:2]):
        chords: list[list[Name]] = []
        for _, name in members:
            home = next((one for one in chords if name not in one), None)
            if home is not None:
                home.append(name)
            elif not (drums and chords):
                chords.append([name])
        sounds += [Sound(onset, end, tuple(chord_names)) for chord_names in chords]
    return sounds


def voices_of(sounds: Sequence[Sound], edges: Sequence[Fraction]) -> list[list[Sound]]:
    """Voices in which no sounds overlap, the highest first.

    They are numbered anew behind each bar line (of ``edges``, in quarters) without a held note.
    """
    voices: list[list[Sound]] = []
    for segment in _segments(sounds, edges):
        lines: list[list[Sound]] = []
        for sound in sorted(segment, key=lambda one: (one.onset, -one.height, one.end)):
            free = [line for line in lines if line[-1].end <= sound.onset]
            if free:
                min(free, key=lambda line: abs(line[-1].height - sound.height)).append(sound)
            else:
                lines.append([sound])
        lines.sort(key=lambda line: -sum(one.height for one in line) / len(line))
        voices += [[] for _ in range(len(lines) - len(voices))]
        for voice, line in zip(voices, lines, strict=False):
            voice += line
    return voices


def _segments(sounds: Sequence[Sound], edges: Sequence[Fraction]) -> Iterator[list[Sound]]:
    segment: list[Sound] = []
    until = Fraction(0)
    for sound in sounds:
        barline = edges[_bar(sound, edges)]
        if segment and segment[-1].onset < barline and until <= barline:
            yield segment
            segment = []
        segment.append(sound)
        until = max(until, sound.end)
    yield segment


def _bar(sound: Sound, edges: Sequence[Fraction]) -> int:
    """Number of the bar in which a sound begins; a grace note at the very end is in the last."""
    return min(bisect_right(edges, sound.onset), len(edges) - 1) - 1


def by_bar(voice: Sequence[Sound], edges: Sequence[Fraction]) -> dict[int, list[Fragment]]:
    """Note signs of each bar by its number: sounds cut at bar lines and into plain lengths."""
    found: defaultdict[int, list[Fragment]] = defaultdict(list)
    for sound in voice:
        index = _bar(sound, edges)
        if sound.end == sound.onset:
            found[index].append(Fragment(sound.onset - edges[index], Fraction(0), sound, None))
            continue
        cuts: list[tuple[int, Fraction, Fraction]] = []
        start = sound.onset
        while start < sound.end:
            end = min(sound.end, edges[index + 1])
            cuts += [(index, *cut) for cut in plain_lengths(start - edges[index], end - start)]
            start, index = end, index + 1
        for number, (bar, onset, length) in enumerate(cuts):
            tied = _tied(first=not number, last=number + 1 == len(cuts))
            found[bar].append(Fragment(onset, length, sound, tied))
    return found


def _tied(*, first: bool, last: bool) -> str | None:
    if first:
        return None if last else "start"
    return "stop" if last else "continue"


def plain_lengths(onset: Fraction, length: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Cut a note or rest into signs with at most two dots, or in one tuplet: onsets and lengths.

    It is cut at a quarter first, then into the longest sign and the rest.
    """
    if _is_plain(onset, length):
        return [(onset, length)]
    end, quarter = onset + length, Fraction(floor(onset) + 1)
    if onset.denominator > 1 and quarter < end:
        return [*plain_lengths(onset, quarter - onset), *plain_lengths(quarter, end - quarter)]
    if length > 1:  # begins on a quarter
        whole = Fraction(floor(length))
        if whole < length:
            return [*plain_lengths(onset, whole), *plain_lengths(onset + whole, length - whole)]
    # The longest part with one digit less: 5/8 is 4/8 and 1/8, 5/6 is 4/6 and 1/6.
    longest = Fraction(1 << (length.numerator.bit_length() - 1), length.denominator)
    return [(onset, longest), *plain_lengths(onset + longest, length - longest)]


def _is_plain(onset: Fraction, length: Fraction) -> bool:
    """True for a length that one sign shows: 1, 3 or 7 times a power of two, or in a tuplet."""
    numerator, denominator = length.numerator, length.denominator
    odd = numerator // (numerator & -numerator)
    if odd not in (1, 3, 7):
        return False
    tuplet = denominator // (denominator & -denominator)
    if tuplet == 1 and (onset.denominator & (onset.denominator - 1)) == 0:
        return True
    # Within a quarter, or, as a triplet of quarters, a whole number of its lengths from the start.
    return odd == 1 and (floor(onset) >= onset + length - 1 or (onset / length).denominator == 1)


def add_fragments(
    target: stream.Stream,
    fragments: Sequence[Fragment],
    length: Fraction,
    drums: bool,
    rests: bool,
) -> None:
    """Insert the notes of a bar of ``length`` quarters, and where ``rests`` the rests between."""
    if rests and not fragments:
        target.insert(0, note.Rest(quarterLength=length))
        return
    clock = Fraction(0)
    for fragment in fragments:
        if rests:
            _add_rests(target, clock, fragment.onset)
        target.insert(fragment.onset, _element(fragment, drums))
        clock = fragment.onset + fragment.length
    if rests:
        _add_rests(target, clock, length)


def _add_rests(target: stream.Stream, start: Fraction, end: Fraction) -> None:
    if start < end:
        for onset, length in plain_lengths(start, end - start):
            target.insert(onset, note.Rest(quarterLength=length))


def _element(fragment: Fragment, drums: bool) -> note.NotRest:
    members: list[note.NotRest] = []
    for letter, alter, octave in fragment.sound.names:
        one: note.NotRest = (
            note.Unpitched(f"{letter}{octave}")
            if drums
            else note.Note(pitch.Pitch(f"{letter}{_SIGNS[alter]}{octave}"))
        )
        one.tie = tie.Tie(fragment.tied) if fragment.tied else None
        members.append(one)
    kind = percussion.PercussionChord if drums else chord.Chord
    element = members[0] if len(members) == 1 else kind(members)
    if fragment.length:
        element.duration = duration.Duration(fragment.length)
    else:
        element.duration = duration.Duration("eighth")
        element.getGrace(inPlace=True)
    return element
