"""A score file there and back: to ABC text, to MusicXML, and what of it music21 still reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

from music21 import converter

from notagen.notation import Tune
from notagen.scores.agreement import Agreement, compare
from notagen.scores.errors import ScoreError
from notagen.scores.files import Entry, entries, failure, original, to_musicxml
from notagen.scores.reading import from_music21


def round_trips(path: Path) -> Iterator[dict[str, Agreement] | ScoreError]:
    """Send each tune of a file to interleaved text, parse it, write MusicXML, and compare.

    The original is the score that music21 parsed, and for ABC the one that our parser makes of
    it. A tune that fails on the way gives the error.
    """
    with warnings.catch_warnings(action="ignore"):  # remarks on scores that it can read
        try:
            for number, entry in enumerate(entries(path), start=1):
                try:
                    yield _round_trip(entry)
                except Exception as error:  # counted, and shown, by the caller
                    yield failure(f"{path}: tune {number}", error)
        except Exception as error:
            yield failure(str(path), error)


def _round_trip(entry: Entry) -> dict[str, Agreement]:
    score = original(entry)
    tune = Tune.parse(from_music21(score).to_interleaved())
    return compare(score, converter.parse(to_musicxml(tune), format="musicxml"))
