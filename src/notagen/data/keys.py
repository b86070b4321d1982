"""Which key a training piece is moved to."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from notagen.notation import KEYS, keys_within

Transpose = Literal["all", "near", "original"]
"""``all``: any of the 15 signatures, equally likely (pre-training as published).
``near``: within three semitones, nearer ones more often (fine-tuning as published).
``original``: as written (NotaGen-X)."""

_NEAR: Final = 3  # semitones; d of them away weighs 4 - d
# Of two signatures that sound alike, the one with fewer accidentals is more likely.
_SPELLING: Final = {"Db": 0.8, "C#": 0.2, "B": 0.8, "Cb": 0.2, "F#": 0.5, "Gb": 0.5}


def draw_key(original: str, transpose: Literal["all", "near"], rng: np.random.Generator) -> str:
    """Draw one of the 15 keys for a piece in ``original``."""
    if transpose == "all":
        return KEYS[int(rng.integers(len(KEYS)))]
    keys, weights = near_keys(original)
    return keys[int(rng.choice(len(keys), p=weights))]


def near_keys(original: str) -> tuple[list[str], list[float]]:
    """Keys within three semitones and their probabilities.

    The seven distances weigh 1 2 3 4 3 2 1, of 16; keys that sound alike share a distance's weight.
    """
    distances = keys_within(original, _NEAR)
    weights = [
        (_NEAR + 1 - abs(distance)) / 16 * _SPELLING.get(key, 1.0)
        for key, distance in distances.items()
    ]
    return list(distances), weights
