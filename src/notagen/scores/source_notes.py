"""Notes of a score file, counted by something that is not its reader."""

from __future__ import annotations

from pathlib import Path


def count_midi(source: Path | str | bytes) -> int:
    """Count the note-ons of a Standard MIDI File, given as its path or content.

    A note-on of velocity 0 is an end, and does not count. A damaged end of a track is left out.
    """
    content = source if isinstance(source, bytes) else Path(source).read_bytes()
    count, position = 0, 8 + int.from_bytes(content[4:8], "big")
    while position + 8 <= len(content):
        kind, length = content[position : position + 4], content[position + 4 : position + 8]
        start = position + 8
        position = start + int.from_bytes(length, "big")
        if kind == b"MTrk":
            count += _count_track(content[start:position])
    return count


def _count_track(data: bytes) -> int:
    count, position, status = 0, 0, 0
    while position < len(data):
        _, position = _variable(data, position)  # ticks since the last event
        if position >= len(data):
            break
        if data[position] & 0x80:
            status = data[position]
            position += 1
        if status in (0xF0, 0xF7):  # system exclusive
            length, position = _variable(data, position)
            position += length
        elif status == 0xFF:
            length, position = _variable(data, position + 1)
            position += length
        elif status >> 4 in (0xC, 0xD):  # program, pressure: one byte of data
            position += 1
        else:
            struck = status >> 4 == 0x9 and position + 1 < len(data) and data[position + 1] > 0
            count += struck
            position += 2
    return count


def _variable(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the position behind it."""
    number = 0
    while position < len(data):
        byte = data[position]
        number, position = number << 7 | byte & 0x7F, position + 1
        if byte < 0x80:
            break
    return number, position
