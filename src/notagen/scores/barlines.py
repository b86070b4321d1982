"""Barlines, repeats and endings: music21 measures and ABC text, both ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from music21 import bar, spanner, stream

_ENDING = re.compile(r"\d[\d,-]*$")
_STYLE = re.compile(r"\[\|\]?|\|[|\]]|\.\|")
_STYLES = {
    "regular": "|",
    "double": "||",
    "final": "|]",
    "heavy-light": "[|",
    "heavy-heavy": "[|]",
    "dashed": ".|",
    "dotted": ".|",
    "none": "|",
}
_NAMES = {"||": "double", "|]": "final", "[|": "heavy-light", "[|]": "heavy-heavy", ".|": "dashed"}


@dataclass(frozen=True, slots=True)
class Edges:
    """Barlines of a measure in one part.

    Attributes:
        opens_repeat, closes_repeat: repeat signs on its left and right.
        style: barline on its right, in ABC.
        ending: number of the ending that begins with it, such as ``1`` or ``1,3``.
        ends_ending: whether an ending ends with it.
    """

    opens_repeat: bool = False
    closes_repeat: bool = False
    style: str = "|"
    ending: str = ""
    ends_ending: bool = False

    def merged(self, other: Edges) -> Edges:
        """These barlines, with those of another part where this one has none."""
        return Edges(
            self.opens_repeat or other.opens_repeat,
            self.closes_repeat or other.closes_repeat,
            self.style if self.style != "|" else other.style,
            self.ending or other.ending,
            self.ends_ending or other.ends_ending,
        )


def barlines(parts: Sequence[stream.Part]) -> tuple[str, list[str]]:
    """The barline before the music and those after each measure, common to all parts.

    A barline includes the ending number that follows it. Repeats and endings of any part apply to
    all: many files write them in the first part only.
    """
    columns: list[Edges] = []
    for part in parts:
        brackets = [b for b in part.getElementsByClass(spanner.RepeatBracket) if len(b)]
        numbers = {id(b.getFirst()): ",".join(map(str, b.numberRange)) for b in brackets}
        lasts = {id(b.getLast()) for b in brackets}
        for index, measure in enumerate(part.getElementsByClass(stream.Measure)):
            edges = _edges(measure, numbers.get(id(measure), ""), id(measure) in lasts)
            if index < len(columns):
                columns[index] = columns[index].merged(edges)
            else:
                columns.append(edges)
    left = _between(Edges(), columns[0])
    after = [*columns[1:], Edges()]
    right = [_between(edges, then) for edges, then in zip(columns, after, strict=True)]
    return "" if left == "|" else left, right


def _between(edges: Edges, then: Edges) -> str:
    """The ABC barline between two measures, with the number of the ending that follows."""
    if edges.closes_repeat:
        line = "::" if then.opens_repeat else ":|"
    elif then.opens_repeat:
        line = "|:"
    elif edges.style == "|" and edges.ends_ending and not then.ending:
        line = "||"  # without a repeat, a double bar ends the ending (ABC 2.1, 4.9)
    else:
        line = edges.style
    return line + then.ending


def _edges(measure: stream.Measure, ending: str, ends_ending: bool) -> Edges:
    left, right = measure.leftBarline, measure.rightBarline
    return Edges(
        opens_repeat=isinstance(left, bar.Repeat) and left.direction == "start",
        closes_repeat=isinstance(right, bar.Repeat) and right.direction == "end",
        style=_STYLES.get(right.type, "|") if right is not None else "|",
        ending=ending,
        ends_ending=ends_ending,
    )


def parse_barline(text: str) -> tuple[Edges, Edges]:
    """Edges of the measure before an ABC barline, and of the measure after it."""
    number = _ENDING.search(text)
    line = text[: number.start()] if number else text
    style = _STYLE.match(line.strip(":"))  # of several barlines, the first
    return (
        Edges(closes_repeat=line.startswith(":"), style=style[0] if style else "|"),
        Edges(opens_repeat=line.endswith(":"), ending=number[0] if number else ""),
    )


def put_barlines(measures: Sequence[stream.Measure], lines: Sequence[str]) -> None:
    """Set the barlines and repeats of measures; ``lines[i]`` is the one before measure i."""
    for measure, (before, after) in zip(measures, pairwise(lines), strict=True):
        if parse_barline(before)[1].opens_repeat:
            measure.leftBarline = bar.Repeat(direction="start")
        edges, _ = parse_barline(after)
        if edges.closes_repeat:
            measure.rightBarline = bar.Repeat(direction="end")
        elif edges.style in _NAMES:
            measure.rightBarline = bar.Barline(_NAMES[edges.style])


def endings(
    measures: Sequence[stream.Measure], lines: Sequence[str]
) -> list[spanner.RepeatBracket]:
    """Brackets of the endings, each up to the next repeat, double bar or ending (ABC 2.1, 4.9)."""
    brackets: list[spanner.RepeatBracket] = []
    current: spanner.RepeatBracket | None = None
    for measure, (before, after) in zip(measures, pairwise(lines), strict=True):
        if number := parse_barline(before)[1].ending:
            current = spanner.RepeatBracket(number=number)
            brackets.append(current)
        if current is not None:
            current.addSpannedElements(measure)
        edges, then = parse_barline(after)
        if edges.closes_repeat or then.opens_repeat or edges.style not in ("|", ".|"):
            current = None
    return brackets
