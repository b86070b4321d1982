"""What the header says once for all voices: unit length, tempo, metre and key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from music21 import key, meter, tempo
from music21.base import Music21Object

from notagen.notation.keys import Key, parse_key
from notagen.scores.fields import key_name, tempo_text
from notagen.scores.staves import Staff


@dataclass(frozen=True, slots=True)
class Opening:
    """The header's ``lines``, its ``key``, and what they say.

    ``elements`` holds the ``id()`` of all keys, metres and tempi that the header says, so
    that the voices need not. A staff that begins otherwise says so in its first bar.
    """

    lines: tuple[str, ...]
    key: Key
    elements: frozenset[int]


def read_opening(staffs: Sequence[Staff]) -> Opening:
    """Take the tempo, metre and key of the first staff that has one for the header's."""
    starts = [element for staff in staffs for element in _start(staff)]
    fields = [(element, field) for element in starts if (field := _field(element))]
    said = {field[:2]: field for _, field in reversed(fields)}
    key_line = said.get("K:", "K:C")
    tempo_line = [said["Q:"]] if "Q:" in said else []
    return Opening(
        lines=("L:1/8", *tempo_line, said.get("M:", "M:none"), key_line),
        key=parse_key(key_line[2:]) or Key(0, "C"),
        elements=frozenset(
            id(element) for element, field in fields if _means(field) == _means(said[field[:2]])
        ),
    )


def _means(field: str) -> str | int:
    """A field as its reader hears it: a key by its signature alone.

    MusicXML often names the mode in the first part only. The published converter then lets the
    others begin with a key of their own, ``[K:C]`` under ``K:Amin``, which says nothing.
    """
    key = parse_key(field[2:]) if field.startswith("K:") else None
    return field if key is None else key.fifths


def _start(staff: Staff) -> list[Music21Object]:
    """Return what stands at the very beginning of a staff, notes included."""
    events = staff.bars[0][0].events if staff.bars else []
    return [event.element for event in events if event.onset == 0]


def _field(element: Music21Object) -> str:
    match element:
        case key.KeySignature():
            return f"K:{key_name(element)}"
        case meter.TimeSignature():
            return f"M:{element.ratioString}"
        case tempo.MetronomeMark():
            return f"Q:{text}" if (text := tempo_text(element)) else ""
    return ""
