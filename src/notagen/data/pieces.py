"""Rows of a prepared corpus as training items: a key, a window, patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch.utils.data

from notagen.notation import KEYS, Tune
from notagen.patches import Patches, encode, window

Transpose = Literal["all", "original"]


class Pieces(torch.utils.data.Dataset[Patches]):
    """Pieces of one split, as patches.

    An item is asked for by ``(epoch, index)``; everything drawn for it (key, window) depends on
    (seed, epoch, index) alone, so that no result depends on the number of workers, on the number
    of ranks or on where a run was resumed.

    Args:
        rows: rows of a prepared corpus.
        patch_length: longest item, in patches.
        transpose: ``all`` draws one of the 15 major signatures each time, as published for
            pre-training; ``original`` leaves every piece where it is.
        seed: seed of all draws.
    """

    def __init__(
        self, rows: Sequence[Any], patch_length: int, transpose: Transpose, seed: int
    ) -> None:
        self.rows = rows
        self.patch_length = patch_length
        self.transpose = transpose
        self.seed = seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: tuple[int, int]) -> Patches:
        """uint8 [n, 16] with n at most ``patch_length``."""
        epoch, index = place
        rng = np.random.default_rng((self.seed, epoch, index))
        tune = Tune.parse(self.rows[index]["text"])
        if self.transpose == "all":
            tune = tune.transpose(KEYS[int(rng.integers(len(KEYS)))])
        return window(encode(tune.to_interleaved(omit_rests=True)), self.patch_length, rng)


def fixed_pieces(rows: Sequence[Any], patch_length: int) -> list[Patches]:
    """Pieces for evaluation, always the same: the original key and the head of the body."""
    return [
        encode(Tune.parse(row["text"]).to_interleaved(omit_rests=True))[:patch_length]
        for row in rows
    ]
