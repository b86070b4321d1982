"""Performance to Standard MIDI File: a track of metres and tempi, then a track for each part."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TypeAlias

from music21.midi import putVariableLengthNumber

from notagen.scores.midi_events import DRUMS
from notagen.scores.performance import Performance, PlayedPart

_TICKS = 10080  # of a quarter: divides by 2 to 10, 12, 14, 16 and 32
_CHANNELS = [channel for channel in range(16) if channel != DRUMS - 1]
_NAME, _PORT, _TEMPO, _METRE, _KEY = 0x03, 0x21, 0x51, 0x58, 0x59
_LONGEST_BEAT = 0xFFFFFF  # microseconds of a quarter

# Order at one tick: fields, ends, grace notes (each with its end), onsets.
_FIELD, _OFF, _GRACE, _GRACE_OFF, _ON = range(5)
Event: TypeAlias = tuple[int, int, bytes]
"""Tick, order at this tick, and bytes."""


def midi_file(performance: Performance) -> bytes:
    """A Standard MIDI File of format 1.

    Each part has a channel of its own, drums have channel 10. Of more than 15 parts those with one
    program share a channel, and channels beyond the 16th are those of a further port, which the
    track names.
    """
    homes = _homes(performance.parts)
    ports = max(port for port, _ in homes) > 0
    tracks = [_conductor(performance)]
    for part, (port, channel) in zip(performance.parts, homes, strict=True):
        tracks.append(_track(part, port if ports else None, channel))
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), _TICKS)
    return header + b"".join(map(_chunk, tracks))


def _homes(parts: Sequence[PlayedPart]) -> list[tuple[int, int]]:
    """Port and channel, from 0, of each part."""
    pitched = [number for number, part in enumerate(parts) if not part.drums]
    own = len(pitched) <= len(_CHANNELS)
    numbers: dict[int, int] = {}
    homes: list[tuple[int, int]] = []
    for number, part in enumerate(parts):
        if part.drums:
            homes.append((0, DRUMS - 1))
            continue
        port, index = divmod(
            numbers.setdefault(number if own else part.program, len(numbers)), len(_CHANNELS)
        )
        homes.append((port, _CHANNELS[index]))
    return homes


def _conductor(performance: Performance) -> list[Event]:
    events = []
    for onset, (beats, unit) in performance.metres:
        events.append(_meta(onset, _METRE, bytes([beats, unit.bit_length() - 1, 24, 8])))
    for onset, (sharps, minor) in performance.keys:
        events.append(_meta(onset, _KEY, struct.pack("bB", max(min(sharps, 7), -7), minor)))
    for onset, number in performance.tempi:
        beat = min(round(60_000_000 / number), _LONGEST_BEAT)
        events.append(_meta(onset, _TEMPO, beat.to_bytes(3, "big")))
    return events


def _track(part: PlayedPart, port: int | None, channel: int) -> list[Event]:
    start = Fraction(0)
    events = [_meta(start, _NAME, part.name.encode())] if part.name else []
    if port is not None:
        events.append(_meta(start, _PORT, bytes([port])))
    if not part.drums:
        events.append((0, _FIELD, bytes([0xC0 | channel, part.program])))
    for onset, end, pitch, velocity in part.notes:
        grace = end == onset
        events.append(
            (_tick(onset), _GRACE if grace else _ON, bytes([0x90 | channel, pitch, velocity]))
        )
        events.append(
            (_tick(end), _GRACE_OFF if grace else _OFF, bytes([0x80 | channel, pitch, 0]))
        )
    return events


def _tick(quarters: Fraction) -> int:
    return round(quarters * _TICKS)


def _meta(onset: Fraction, kind: int, data: bytes) -> Event:
    return _tick(onset), _FIELD, b"\xff" + bytes([kind]) + putVariableLengthNumber(len(data)) + data


def _chunk(events: Iterable[Event]) -> bytes:
    """A track chunk: the events in order, each behind the ticks since the last."""
    now = 0
    parts: list[bytes] = []
    for tick, _, content in sorted(events, key=lambda event: event[:2]):
        parts += [putVariableLengthNumber(tick - now), content]
        now = tick
    data = b"".join([*parts, b"\0\xff\x2f\0"])
    return b"MTrk" + struct.pack(">I", len(data)) + data
