"""PieceDataset: rows of a prepared corpus as patches, with key augmentation and a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch.utils.data
from datasets import Dataset

from notagen.errors import NotationError, UserError
from notagen.notation import KEYS, Tune, keys_within
from notagen.patches import Patches, encode, window
from notagen.prompts import Prompt

Transpose = Literal["all", "near", "original"]
"""``all``: any of the 15 signatures, equally likely (pre-training as published).
``near``: within three semitones, nearer ones more often (fine-tuning as published).
``original``: as written (NotaGen-X)."""

_CHARACTERS_PER_PATCH: Final = 11  # on average: a patch ends with its bar
_NEAR: Final = 3  # semitones; a key d semitones away has weight 4 - |d|
# Of two enharmonic keys, the one with fewer accidentals is more likely.
_SPELLING: Final = {"Db": 0.8, "C#": 0.2, "B": 0.8, "Cb": 0.2, "F#": 0.5, "Gb": 0.5}


class PieceDataset(torch.utils.data.Dataset[Patches]):
    """Pieces of one split as patches, indexed by ``(epoch, index)``.

    Everything random about an item (key, window) depends on (seed, epoch, index) only, so that no
    result depends on the number of workers or ranks, or on where a run was resumed.

    Args:
        rows: rows of a prepared corpus.
        patch_length: maximum length of an item, in patches.
        transpose: the keys to draw from.
        seed: seed of all draws.
        prompted: whether a piece begins with its period, composer and instrumentation.

    Raises:
        UserError: ``transpose`` is unknown.
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

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Patches:
        """uint8 [n, 16] with n at most ``patch_length``."""
        epoch, index = epoch_and_index
        rng = np.random.default_rng((self.seed, epoch, index))
        row = self.rows[index]
        tune = _tune(row)
        if self.transpose != "original":
            tune = tune.transpose(draw_key(tune.key, self.transpose, rng))
        return window(_patches(row, tune, self.prompted), self.patch_length, rng)


class FixedPieces(Sequence[Patches]):
    """Pieces for validation, without randomness: in the original key, cut to their beginning.

    Each is encoded when it is asked for.

    Args:
        rows, patch_length, prompted: as in :class:`PieceDataset`.
    """

    def __init__(self, rows: Sequence[Any], patch_length: int, prompted: bool = False) -> None:
        self.rows = rows
        self.patch_length = patch_length
        self.prompted = prompted

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Patches:  # type: ignore[override]  # no slices
        row = self.rows[index]
        return _patches(row, _tune(row), self.prompted)[: self.patch_length]


def validation_pieces(
    rows: Sequence[Any], patch_length: int, prompted: bool = False
) -> list[Patches]:
    """All of :class:`FixedPieces` at once."""
    return [FixedPieces([row], patch_length, prompted)[0] for row in rows]


def column(rows: Dataset, name: str) -> list[Any]:
    """A column of rows of a prepared corpus, of which nothing else is read."""
    values: list[Any] = rows.select_columns([name])[:][name]
    return values


def prompts_of(rows: Dataset) -> list[Prompt]:
    """Labels of each row, of which nothing else is read."""
    labels = (column(rows, name) for name in Prompt._fields)
    return [Prompt(*each) for each in zip(*labels, strict=True)]


def estimated_patches(rows: Dataset, patch_length: int) -> npt.NDArray[np.int64]:
    """About how many patches each piece has, at most ``patch_length``; int64 [rows]."""
    characters = np.array(column(rows, "characters"), dtype=np.int64)
    return (characters // _CHARACTERS_PER_PATCH).clip(1, patch_length)


def _tune(row: Any) -> Tune:
    try:
        return Tune.parse(row["text"]).omit_rests()
    except NotationError as error:
        raise UserError(
            f"piece {row['piece']} of the prepared corpus is no music ({error}); prepare it again "
            "with overwrite=true"
        ) from error


def prompt_of(row: Any) -> Prompt:
    """Labels of a row."""
    return Prompt(row["period"], row["composer"], row["instrumentation"])


def collection_of(piece: str) -> str:
    """First folder of a piece's name; empty if there is none."""
    folder, slash, _ = piece.partition("/")
    return folder if slash else ""


def _patches(row: Any, tune: Tune, prompted: bool) -> Patches:
    prompt = str(prompt_of(row)) if prompted else ""
    return encode(prompt + tune.to_interleaved())


def draw_key(original: str, transpose: Literal["all", "near"], rng: np.random.Generator) -> str:
    """Draw one of the 15 keys for a piece whose key is ``original``."""
    if transpose == "all":
        return KEYS[int(rng.integers(len(KEYS)))]
    keys, weights = near_keys(original)
    return keys[int(rng.choice(len(keys), p=weights))]


def near_keys(original: str) -> tuple[list[str], list[float]]:
    """Keys within three semitones and their probabilities (NotaGen, fine-tuning).

    The distances -3 to 3 have probabilities 1 2 3 4 3 2 1, divided by 16; enharmonic keys share
    the probability of their distance.
    """
    distances = keys_within(original, _NEAR)
    weights = [
        (_NEAR + 1 - abs(distance)) / 16 * _SPELLING.get(key, 1.0)
        for key, distance in distances.items()
    ]
    return list(distances), weights
