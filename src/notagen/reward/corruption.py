"""Corruptions of a tune that an encoder must tell from real music."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from notagen.notation import Tune
from notagen.notation.bars import Bar

Corruption = Callable[[Tune, np.random.Generator], Tune]

_LETTERS: Final = "ABCDEFGabcdefg"
# The first three alternatives skip text in which letters are no notes: "Gm7", !trill!, [K:Bb].
_NOTE = re.compile(r'"[^"]*"|![^!]*!|\[[A-Za-z]:[^\]]*\]|(?P<letter>[A-Ga-g])')


def shuffle_bars(tune: Tune, rng: np.random.Generator) -> Tune:
    """Shuffle the bars, all voices together: each bar is intact, their order makes no sense.

    The first and the last bar stay: a final barline within the piece would give it away.
    """
    order = _inner_order(len(tune.bars), rng)
    return replace(tune, bars=tuple(tune.bars[i] for i in order))


def shuffle_voices(tune: Tune, rng: np.random.Generator) -> Tune:
    """Shuffle the bars of each voice independently: the voices do not fit together."""
    bars = tune.complete_rests().bars
    orders = {voice: _inner_order(len(bars), rng) for voice in tune.voices}
    mixed = (
        {voice: bars[order[i]][voice] for voice, order in orders.items()} for i in range(len(bars))
    )
    return replace(tune, bars=tuple(mixed))


def scatter_some_notes(tune: Tune, rng: np.random.Generator) -> Tune:
    """Replace a random fraction of the pitches, 0.1 or more; the rhythm is intact."""
    return _scattered(tune, rng, fraction=float(rng.uniform(0.1, 1.0)))


def scatter_notes(tune: Tune, rng: np.random.Generator) -> Tune:
    """Replace all pitches by random ones; the rhythm is intact."""
    return _scattered(tune, rng, fraction=1.0)


def _inner_order(count: int, rng: np.random.Generator) -> list[int]:
    """A permutation of ``count`` bars that keeps the first and the last."""
    inner = rng.permutation(range(1, count - 1)).tolist()
    return [*range(min(1, count)), *inner, *range(max(1, count - 1), count)]


def _scattered(tune: Tune, rng: np.random.Generator, fraction: float) -> Tune:
    def scatter(match: re.Match[str]) -> str:
        if match["letter"] and rng.random() < fraction:
            return _LETTERS[rng.integers(len(_LETTERS))]
        return match[0]

    def noise(voices: Mapping[str, Bar]) -> Mapping[str, Bar]:
        return {v: bar._replace(text=_NOTE.sub(scatter, bar.text)) for v, bar in voices.items()}

    return replace(tune, bars=tuple(noise(voices) for voices in tune.bars))


TRAINING_CORRUPTIONS: Final[tuple[Corruption, ...]] = (
    shuffle_bars,
    shuffle_voices,
    scatter_some_notes,
)
"""Corruptions that an encoder is trained to recognise."""
