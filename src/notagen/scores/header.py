"""What a tune's header says of its staves: ``%%score`` and the ``V:`` lines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from music21 import clef

from notagen.notation.tune import Tune
from notagen.scores.fields import parse_clef

_ATTRIBUTE = re.compile(r'(?P<name>[a-z-]+)=(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')
_TRANSPOSE = re.compile(r"[-+]?\d{1,2}")
_SYMBOLS = {"[": "bracket", "{": "brace"}


@dataclass(frozen=True, slots=True)
class VoiceLine:
    """A ``V:`` line: clef, names, and the semitones from written to sounding pitch."""

    clef: clef.Clef
    name: str = ""
    abbreviation: str = ""
    transpose: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Staves ``first`` to ``last`` held together by a bracket or brace."""

    symbol: str
    first: int
    last: int
    barlines_joined: bool


def voice_line(tune: Tune, voice: str) -> VoiceLine:
    """Read a voice's ``V:`` line; a treble staff without a name when there is none."""
    opening = f"V:{voice} "
    text = next((line for line in tune.header if f"{line} ".startswith(opening)), opening)
    attributes = {m["name"]: m["quoted"] or m["plain"] or "" for m in _ATTRIBUTE.finditer(text)}
    words = [*_ATTRIBUTE.sub("", text).split()[1:], attributes.get("clef", "")]
    clefs = [sign for sign in map(parse_clef, words) if sign is not None]
    transpose = attributes.get("transpose", "0")
    return VoiceLine(
        clef=clefs[0] if clefs else clef.TrebleClef(),
        name=_plain(attributes.get("nm") or attributes.get("name") or ""),
        abbreviation=_plain(attributes.get("snm") or attributes.get("sname") or ""),
        transpose=int(transpose) if _TRANSPOSE.fullmatch(transpose) else 0,
    )


def staff_plan(tune: Tune) -> tuple[list[tuple[str, ...]], list[Group]]:
    """Read ``%%score``: the voices of each staff, and the groups of staves.

    Voices that it does not name get a staff of their own, below the others; names of voices that
    the tune does not have are left out.
    """
    line = next((line for line in tune.header if line.startswith("%%score")), "")
    staffs: list[tuple[str, ...]] = []
    groups: list[Group] = []
    opened: list[tuple[str, int]] = []
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
        elif word in tune.voices and sharing is not None:
            sharing.append(word)
        elif word in tune.voices:
            staffs.append((word,))
    placed = {voice for staff in staffs for voice in staff}
    staffs += [(voice,) for voice in tune.voices if voice not in placed]
    return staffs, [group for group in groups if group.first < group.last]


def _plain(name: str) -> str:
    """Drop the line breaks that some published headers carry in names (``\\n\\t:Viola``)."""
    return " ".join(name.replace("\\n", " ").split()).removeprefix(":")
