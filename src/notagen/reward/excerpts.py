"""Training items of a music encoder: excerpts of pieces in bar patches, some of them corrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from notagen.data.pieces import PieceDataset, draw_key, prompt_of, prompts_of
from notagen.notation import Tune
from notagen.reward.bar_patches import BarPatches, Task, encode, normal_form
from notagen.reward.corruption import TRAINING_CORRUPTIONS

_HEADLESS: Final = 0.5  # probability that a training excerpt has no header
_PROOFREAD: Final = 0.5  # probability that its task is proofreading: some bars are corrupted

Excerpt = npt.NDArray[np.uint8]
"""[n, 65]: bar patches, each followed by its :class:`~notagen.reward.bar_patches.Task`."""


class Contrast(NamedTuple):
    """An excerpt, its corrupted version, and the kind of its piece: the labels."""

    real: BarPatches
    corrupted: BarPatches
    kind: str


class EncoderPieces(PieceDataset):
    """Excerpts in random keys of the pieces of one split; ``patch_length`` is in bar patches."""

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Excerpt:
        """uint8 [n, 65] with n at most ``patch_length``."""
        epoch, index = epoch_and_index
        rng = np.random.default_rng((self.seed, epoch, index))
        excerpt = self._excerpt(self.rows[index], rng)
        patches = self._patches(excerpt)
        tasks = np.full((len(patches), 1), Task.RESTORE, np.uint8)
        if rng.random() < _PROOFREAD:
            corrupted = self._patches(_corrupt_some(excerpt, rng))
            if len(corrupted) == len(patches):  # otherwise patches cannot be matched
                differs = (corrupted != patches).any(axis=1, keepdims=True)
                tasks = np.where(differs, Task.MISPLACED, Task.INTACT).astype(np.uint8)
                patches = corrupted
        headless = rng.random() < _HEADLESS
        start = len(excerpt.header) + 1 if headless else 0
        return np.concatenate([patches, tasks], axis=1)[start:]

    def contrast(self, index: int) -> Contrast:
        """An excerpt of a piece and its corrupted version."""
        rng = np.random.default_rng((self.seed, index))
        row = self.rows[index]
        excerpt = self._excerpt(row, rng)
        corrupted = self._patches(_corrupt(excerpt, rng))
        return Contrast(self._patches(excerpt), corrupted, str(prompt_of(row)))

    def _excerpt(self, row: Any, rng: np.random.Generator) -> Tune:
        """Draw an excerpt: bars from a random one on, up to the limit, in a random key."""
        tune = Tune.parse(row["text"])
        room = self.patch_length - len(tune.header) - 2  # a start and an end patch
        count = max(1, room // len(tune.voices))
        start = int(rng.integers(max(0, len(tune.bars) - count) + 1))
        excerpt = replace(tune, bars=tune.bars[start : start + count])
        if self.transpose == "original":
            return excerpt
        return excerpt.transpose(draw_key(tune.key, self.transpose, rng))

    def _patches(self, excerpt: Tune) -> BarPatches:
        return encode(normal_form(excerpt))[: self.patch_length]


def _corrupt(excerpt: Tune, rng: np.random.Generator) -> Tune:
    return TRAINING_CORRUPTIONS[int(rng.integers(len(TRAINING_CORRUPTIONS)))](excerpt, rng)


def _corrupt_some(excerpt: Tune, rng: np.random.Generator) -> Tune:
    """Corrupt a random fraction of the bars, so that each must be judged by its neighbours."""
    fraction = rng.random()
    bars = zip(excerpt.bars, _corrupt(excerpt, rng).bars, strict=True)
    return replace(
        excerpt, bars=tuple(bad if rng.random() < fraction else good for good, bad in bars)
    )


def balanced(rows: Dataset) -> Dataset:
    """Repeat the rows of rarer kinds, so that a kind's share grows as the root of its size."""
    kinds = prompts_of(rows)
    sizes = Counter(kinds)
    largest = max(sizes.values())
    repeats = [round((largest / sizes[kind]) ** 0.5) for kind in kinds]
    return rows.select(np.repeat(np.arange(len(kinds)), repeats))


class FixedExcerpts(Sequence[Excerpt]):
    """Excerpts for validation, always the same, in the keys of the scores.

    Each is encoded when it is asked for.

    Args:
        rows, patch_length: as in :class:`EncoderPieces`.
    """

    def __init__(self, rows: Dataset, patch_length: int) -> None:
        self._pieces = EncoderPieces(rows, patch_length, "original", seed=0)

    def __len__(self) -> int:
        return len(self._pieces)

    def __getitem__(self, index: int) -> Excerpt:  # type: ignore[override]  # no slices
        return self._pieces[0, index]
