"""Standard MIDI Files by hand: notes and fields in ticks, 480 to a quarter."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from music21.midi import putVariableLengthNumber

Events: TypeAlias = list[tuple[int, int, bytes]]
"""Tick, order at this tick, bytes."""


def played(on: int, length: int, pitch: int, channel: int = 1) -> Events:
    """A note; channels are counted from 1."""
    return [
        (on, 2, bytes([0x8F + channel, pitch, 90])),
        (on + length, 1, bytes([0x7F + channel, pitch, 0])),
    ]


def line(start: int, length: int, pitches: Iterable[int], channel: int = 1) -> Events:
    """Notes of one length, each after the other."""
    return [
        event
        for index, pitch in enumerate(pitches)
        for event in played(start + index * length, length, pitch, channel)
    ]


def metre(tick: int, beats: int, unit: int) -> Events:
    """A time signature."""
    return [(tick, 0, bytes([0xFF, 0x58, 4, beats, unit.bit_length() - 1, 24, 8]))]


def key(tick: int, sharps: int, minor: bool = False) -> Events:
    """A key signature; flats are negative."""
    return [(tick, 0, b"\xff\x59\x02" + struct.pack("bB", sharps, minor))]


def tempo(tick: int, number: float) -> Events:
    """Quarters per minute."""
    return [(tick, 0, b"\xff\x51\x03" + round(60_000_000 / number).to_bytes(3, "big"))]


def title(name: str) -> Events:
    """The name of a track."""
    return [(0, 0, b"\xff\x03" + bytes([len(name)]) + name.encode())]


def program(number: int, channel: int) -> Events:
    """A program of General MIDI, from 0."""
    return [(0, 0, bytes([0xBF + channel, number]))]


def midi(*tracks: Sequence[Events], kind: int = 1, division: int = 480) -> bytes:
    """The file of tracks, each given as its events."""
    chunks = [_track(sorted(event for events in track for event in events)) for track in tracks]
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division) + b"".join(chunks)


def _track(events: Events) -> bytes:
    data, now = b"", 0
    for tick, _, content in events:
        data += putVariableLengthNumber(tick - now) + content
        now = tick
    data += b"\0\xff\x2f\0"
    return b"MTrk" + struct.pack(">I", len(data)) + data
