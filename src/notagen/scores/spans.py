"""Marks that reach from one note to another: slurs, wedges, octave lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from music21 import spanner
from music21.base import Music21Object

from notagen.scores.marks import SPANS

Place: TypeAlias = tuple[str, int]  # voice, and the how manieth of its notes


class Spans:
    """What opens before and closes after each note, by the note's ``id()``.

    ABC ties these marks to a voice: a span is kept when it begins and ends in the same one.
    """

    def __init__(self, bundle: spanner.SpannerBundle, places: Mapping[int, Place]) -> None:
        self.opening: defaultdict[int, list[str]] = defaultdict(list)
        self.closing: defaultdict[int, list[str]] = defaultdict(list)
        self.slurs_opening: defaultdict[int, int] = defaultdict(int)
        self.slurs_closing: defaultdict[int, int] = defaultdict(int)
        for span in bundle:
            if not isinstance(span, spanner.RepeatBracket) and len(span):
                self._add(span, span.getFirst(), span.getLast(), places)

    def _add(
        self,
        span: spanner.Spanner,
        first: Music21Object,
        last: Music21Object,
        places: Mapping[int, Place],
    ) -> None:
        start, end = places.get(id(first)), places.get(id(last))
        if start is None or end is None or start[0] != end[0]:
            return
        if start > end:  # begins and ends within one long note: music21 names its neighbours
            first = last
        if isinstance(span, spanner.Slur):
            if start != end:
                self.slurs_opening[id(first)] += 1
                self.slurs_closing[id(last)] += 1
            return
        kind = span.type if isinstance(span, spanner.Ottava) else type(span).__name__
        if kind in SPANS:
            opening, closing = SPANS[kind]
            if opening in self.opening[id(first)]:
                return  # a voice has one of a kind at a time
            self.opening[id(first)].append(opening)
            self.closing[id(last)].append(closing)
