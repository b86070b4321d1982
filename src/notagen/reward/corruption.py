"""Music made worse on purpose: what an encoder must tell from real music."""

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
_NOTE = re.compile(r'"[^"]*"|![^!]*!|\[[A-Za-z]:[^\]]*\]|(?P<letter>[A-Ga-g])')


def shuffle_bars(tune: Tune, rng: np.random.Generator) -> Tune:
    """The bars in another order, all voices together: every bar is right, the piece wanders.

    The first and the last bar stay: a last barline within the piece would give it away.
    """
    order = _inner_order(len(tune.bars), rng)
    return replace(tune, bars=tuple(tune.bars[i] for i in order))


def shuffle_voices(tune: Tune, rng: np.random.Generator) -> Tune:
    """Each voice's bars in an order of its own: the lines are right, they do not fit together."""
    bars = tune.complete_rests().bars
    orders = {voice: _inner_order(len(bars), rng) for voice in tune.voices}
    mixed = (
        {voice: bars[order[i]][voice] for voice, order in orders.items()} for i in range(len(bars))
    )
    return replace(tune, bars=tuple(mixed))


def scatter_some_notes(tune: Tune, rng: np.random.Generator) -> Tune:
    """A tenth of the notes or more on random letters: the rhythm is right."""
    return _scattered(tune, rng, share=float(rng.uniform(0.1, 1.0)))


def scatter_notes(tune: Tune, rng: np.random.Generator) -> Tune:
    """Every note on a random letter: the rhythm is right, the notes are noise."""
    return _scattered(tune, rng, share=1.0)


def _inner_order(count: int, rng: np.random.Generator) -> list[int]:
    inner = rng.permutation(range(1, count - 1)).tolist()
    return [*range(min(1, count)), *inner, *range(max(1, count - 1), count)]


def _scattered(tune: Tune, rng: np.random.Generator, share: float) -> Tune:
    def scatter(match: re.Match[str]) -> str:
        if match["letter"] and rng.random() < share:
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
"""What an encoder learns to tell from real music."""
