"""Rows of a prepared corpus as training items: a key, a window, patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch.utils.data

from notagen.data.keys import Transpose, draw_key
from notagen.errors import UserError
from notagen.notation import Tune
from notagen.patches import Patches, encode, window
from notagen.prompt import Prompt


class Pieces(torch.utils.data.Dataset[Patches]):
    """Pieces of one split, as patches.

    An item is asked for by ``(epoch, index)``; everything drawn for it (key, window) depends on
    (seed, epoch, index) alone, so that no result depends on the number of workers, on the number
    of ranks or on where a run was resumed.

    Args:
        rows: rows of a prepared corpus.
        patch_length: longest item, in patches.
        transpose: which keys are drawn.
        seed: seed of all draws.
        prompted: whether a piece begins with its period, composer and instrumentation.

    Raises:
        UserError: there are no such keys.
    """

    def __init__(
        self,
        rows: Sequence[Any],
        patch_length: int,
        transpose: Transpose,
        seed: int,
        prompted: bool = False,
    ) -> None:
        if transpose not in get_args(Transpose):
            raise UserError(
                f"transpose={transpose} is not known; choose from {', '.join(get_args(Transpose))}"
            )
        self.rows = rows
        self.patch_length = patch_length
        self.transpose = transpose
        self.seed = seed
        self.prompted = prompted

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: tuple[int, int]) -> Patches:
        """uint8 [n, 16] with n at most ``patch_length``."""
        epoch, index = place
        rng = np.random.default_rng((self.seed, epoch, index))
        row = self.rows[index]
        tune = Tune.parse(row["text"]).omit_rests()
        if self.transpose != "original":
            tune = tune.transpose(draw_key(tune.key, self.transpose, rng))
        return window(_patches(row, tune, self.prompted), self.patch_length, rng)


def fixed_pieces(rows: Sequence[Any], patch_length: int, prompted: bool = False) -> list[Patches]:
    """Pieces for evaluation, always the same: the original key and the head of the body."""
    tunes = (Tune.parse(row["text"]).omit_rests() for row in rows)
    return [
        _patches(row, tune, prompted)[:patch_length] for row, tune in zip(rows, tunes, strict=True)
    ]


def prompt_of(row: Any) -> Prompt:
    """A row's labels."""
    return Prompt(row["period"], row["composer"], row["instrumentation"])


def collection_of(piece: str) -> str:
    """The first folder of a piece's name; empty where it has none."""
    folder, slash, _ = piece.partition("/")
    return folder if slash else ""


def _patches(row: Any, tune: Tune, prompted: bool) -> Patches:
    prompt = str(prompt_of(row)) if prompted else ""
    return encode(prompt + tune.to_interleaved())
