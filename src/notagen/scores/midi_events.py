"""Standard MIDI File to notes, metres, keys and tempi, with music21's low-level parser."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from music21.midi import (
    ChannelVoiceMessages,
    MetaEvents,
    MidiEvent,
    MidiException,
    MidiFile,
    MidiTrack,
)

from notagen.errors import ScoreError

DRUMS = 10
"""The channel of percussion in General MIDI, counted from 1."""


@dataclass(frozen=True, slots=True)
class MidiNote:
    """A note of a track; ``on`` and ``off`` in quarters, as played."""

    on: Fraction
    off: Fraction
    pitch: int
    channel: int


@dataclass(slots=True)
class Track:
    """A track: its name, notes, first program of each channel, and key signatures.

    ``keys`` are (onset in quarters, number of sharps, whether it is minor).
    """

    name: str = ""
    notes: list[MidiNote] = field(default_factory=list)
    programs: dict[int, int] = field(default_factory=dict)
    keys: list[tuple[Fraction, int, bool]] = field(default_factory=list)


@dataclass(slots=True)
class MidiScore:
    """Tracks, with the metres and tempi of all of them; times in quarters.

    Attributes:
        division: ticks of a quarter.
        tracks: in the file's order.
        metres: (onset, beats, unit), such as (0, 6, 8).
        tempi: (onset, quarters per minute).
    """

    division: int
    tracks: list[Track]
    metres: list[tuple[Fraction, int, int]]
    tempi: list[tuple[Fraction, float]]


def parse_midi(content: bytes) -> MidiScore:
    """Parse a Standard MIDI File of format 0 or 1.

    Metres and tempi hold for all tracks, whichever track they stand in.

    Raises:
        ScoreError: (a ValueError) it is none, of format 2, or timed in SMPTE frames.
    """
    if content[:4] != b"MThd" or len(content) < 14:
        raise ScoreError("the file is no Standard MIDI File: it does not begin with MThd.")
    kind, division = int.from_bytes(content[8:10], "big"), int.from_bytes(content[12:14], "big")
    if kind == 2:
        raise ScoreError(
            "a MIDI file of format 2 holds sequences that are not played together; "
            "save each as a file of format 0 or 1."
        )
    if kind > 2:
        raise ScoreError(f"the MIDI file is damaged: there is no format {kind}.")
    if division & 0x8000 or not division:
        raise ScoreError(
            "the MIDI file counts SMPTE frames, not quarters; save it with ticks per quarter."
        )
    _check_length(content)
    file = MidiFile()
    try:
        file.readstr(content)
    except (MidiException, IndexError, ValueError) as error:
        raise ScoreError(f"the MIDI file is damaged: {error}") from error
    score = MidiScore(division, [], [], [])
    for track in file.tracks:
        score.tracks.append(_track(track, score))
    score.metres.sort()
    score.tempi.sort()
    return score


def _check_length(content: bytes) -> None:
    position = 8 + int.from_bytes(content[4:8], "big")
    for number in range(1, 1 + int.from_bytes(content[10:12], "big")):
        end = position + 8 + int.from_bytes(content[position + 4 : position + 8], "big")
        if position + 8 > len(content) or end > len(content):
            raise ScoreError(f"the MIDI file is damaged: it ends in track {number}.")
        position = end


def _track(track: MidiTrack, score: MidiScore) -> Track:
    found = Track()
    sounding: defaultdict[tuple[int, int], deque[Fraction]] = defaultdict(deque)
    ended: dict[tuple[int, int], Fraction] = {}
    now = Fraction(0)
    for now, event in _timed(track, score.division):
        if event.isNoteOn():
            if ended.pop((event.channel, event.pitch), None) == now:
                found.notes.append(MidiNote(now, now, event.pitch, event.channel))
            else:
                sounding[event.channel, event.pitch].append(now)
        elif event.isNoteOff():
            waiting = sounding[event.channel, event.pitch]
            if not waiting:  # music21 writes a grace note as its end, then its beginning
                ended[event.channel, event.pitch] = now
            else:
                found.notes.append(MidiNote(waiting.popleft(), now, event.pitch, event.channel))
        elif event.type == ChannelVoiceMessages.PROGRAM_CHANGE:
            found.programs.setdefault(event.channel, int(event.data))
        elif isinstance(event.data, bytes):
            _meta(event.type, event.data, now, found, score)
    for (channel, pitch), onsets in sounding.items():  # a note that nothing ends
        found.notes += [MidiNote(on, now, pitch, channel) for on in onsets]
    found.notes.sort(key=lambda one: (one.on, one.pitch, one.off))
    return found


def _timed(track: MidiTrack, division: int) -> Iterator[tuple[Fraction, MidiEvent]]:
    ticks = 0
    for event in track.events:
        if event.isDeltaTime():
            ticks += event.time
        else:
            yield Fraction(ticks, division), event


def _meta(kind: object, data: bytes, now: Fraction, track: Track, score: MidiScore) -> None:
    match kind:
        case MetaEvents.SEQUENCE_TRACK_NAME:
            track.name = track.name or _decoded(data)
        case MetaEvents.TIME_SIGNATURE:
            if len(data) >= 2 and data[0] and data[1] <= 6:
                score.metres.append((now, data[0], 2 ** data[1]))
        case MetaEvents.KEY_SIGNATURE:
            sharps = int.from_bytes(data[:1], "big", signed=True)
            if len(data) >= 2 and abs(sharps) <= 7:
                track.keys.append((now, sharps, data[1] == 1))
        case MetaEvents.SET_TEMPO:
            if microseconds := int.from_bytes(data[:3], "big"):
                score.tempi.append((now, 60_000_000 / microseconds))


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
