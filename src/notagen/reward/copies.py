"""How much of a piece is taken from others, in whatever key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from notagen.notation import Tune
from notagen.notation.pitches import Sound, sounds_by_bar

Content = tuple[tuple[tuple[tuple[int, ...], Fraction], ...], ...]
"""Of each sounding voice, of each sound: semitones above the bar's first note, and duration."""


class BarIndex:
    """Where each bar stands in a set of tunes, to find the longest passage they share.

    Two bars are the same when their voices, moved by one interval, have the same pitches and
    durations.
    """

    def __init__(self, tunes: Iterable[Tune]) -> None:
        self.places: defaultdict[Content, list[tuple[int, int]]] = defaultdict(list)
        for number, tune in enumerate(tunes):
            for position, bar in enumerate(contents(tune)):
                self.places[bar].append((number, position))

    def longest_run(self, tune: Tune) -> int:
        """Bars in a row of ``tune``, at most, that stand so in one of the tunes; rests end a run.

        Every bar may be moved by an interval of its own, so that no copy is missed.
        """
        longest = 0
        runs: dict[tuple[int, int], int] = {}  # that reach the bar before, by where they end
        for bar in contents(tune):
            places = self.places.get(bar, []) if bar else []
            runs = {(at, place): runs.get((at, place - 1), 0) + 1 for at, place in places}
            longest = max([longest, *runs.values()])
        return longest


def contents(tune: Tune) -> Iterator[Content]:
    """What each bar holds, the same in every key; nothing where all voices rest."""
    voices = zip(*(sounds_by_bar(tune, voice) for voice in tune.voices), strict=True)
    return (_content(bar, tune.unit_length) for bar in voices)


def _content(voices: Sequence[Sequence[Sound]], unit: Fraction) -> Content:
    sounding = [voice for voice in voices if any(pitches for pitches, _ in voice)]
    first = next((pitches[0] for voice in sounding for pitches, _ in voice if pitches), 0)
    return tuple(
        tuple((tuple(pitch - first for pitch in pitches), length * unit) for pitches, length in v)
        for v in sounding
    )
