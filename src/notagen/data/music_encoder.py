"""The LightningDataModule of stage m3: excerpts in bar patches."""

from __future__ import annotations

import numpy as np
from datasets import Dataset

from notagen.data.excerpts import Contrast, EncoderPieces, Excerpt, balanced, fixed_excerpts
from notagen.data.modules import CorpusData


class EncoderData(CorpusData):
    """Excerpts of all pieces, rarer kinds more often; ``patch_length`` is in bar patches."""

    prompted = False
    train_pieces: EncoderPieces

    def contrasts(self, most: int) -> list[Contrast]:
        """Excerpts of ``most`` training pieces, drawn at random, beside the same corrupted."""
        order = np.random.default_rng(self.seed).permutation(len(self.train_pieces))
        return [self.train_pieces.contrast(int(index)) for index in order[:most]]

    def _to_train_on(self, rows: Dataset) -> EncoderPieces:
        return EncoderPieces(balanced(rows), self.patch_length, self.transpose, self.seed)

    def _to_validate(self, rows: Dataset) -> list[Excerpt]:
        return fixed_excerpts(rows, self.patch_length)
