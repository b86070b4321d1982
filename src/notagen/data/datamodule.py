"""CorpusData: the LightningDataModule over a prepared corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import numpy as np
from datasets import Dataset
from torch.utils.data import DataLoader

from notagen.data import storage
from notagen.data.batches import PatchBatches, PieceLoader, ShuffledBatches, pack
from notagen.data.pieces import PieceDataset, Transpose, collection_of, prompt_of, validation_pieces
from notagen.errors import UserError
from notagen.patches import Patches
from notagen.prompts import Prompt

_CHARACTERS_A_PATCH = 11


class CorpusData(L.LightningDataModule):
    """Pieces of a prepared corpus: random keys and windows to train on, fixed ones to validate.

    Args:
        path: a prepared corpus.
        patch_length: the model's context, in patches.
        batch_size: pieces a step on each rank.
        transpose: which keys are drawn.
        workers: loader processes.
        seed: seed of order, keys and windows.
        where: which pieces to take, as an expression over the columns of the corpus
            (``composer == "Haydn, Joseph" and voices == 4``); None for all.
        batch_patches: patches a step on each rank, about, in place of ``batch_size`` pieces.
    """

    prompted: ClassVar[bool]

    def __init__(
        self,
        path: str,
        patch_length: int,
        batch_size: int,
        transpose: Transpose,
        workers: int,
        seed: int,
        where: str | None = None,
        batch_patches: int | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.transpose: Transpose = transpose
        self.workers = workers
        self.seed = seed
        self.where = where
        self.batch_patches = batch_patches

    @property
    def prompts(self) -> list[Prompt]:
        """What the training pieces are conditioned on; empty where they are not."""
        return [prompt_of(row) for row in self._rows("train")] if self.prompted else []

    def setup(self, stage: str | None = None) -> None:
        """Open the corpus.

        Raises:
            UserError: there is none, or it has too few pieces for a batch or for validation.
        """
        rows = self._rows("train")
        held_out = self._rows("validation")
        assert self.trainer is not None
        ranks = self.trainer.world_size
        if self.where is not None and not len(rows):
            raise UserError(f"{self.path} has no training piece with {self.where}")
        if len(rows) < self.batch_size * ranks:
            raise UserError(
                f"{self.path} has {len(rows)} training pieces to choose from, fewer than one batch "
                f"of {self.batch_size} on each of {ranks} ranks; lower stage.data.batch_size"
            )
        if len(held_out) == 0:
            raise UserError(
                f"{self.path} has no validation pieces to choose from; prepare it with a larger "
                "validation_fraction, or widen stage.data.where"
            )
        self.train_pieces = self._to_train_on(rows)
        self.validation_pieces = self._to_validate(held_out)
        self.collections = [collection_of(name) for name in held_out["piece"]]

    def held_out(self) -> Sequence[Any]:
        """The validation pieces, always the same."""
        return self._to_validate(self._rows("validation"))

    def train_dataloader(self) -> PieceLoader:
        """Batches of random keys and windows."""
        return PieceLoader(self.train_pieces, self._batches(), self.workers, self.collate)

    def val_dataloader(self) -> DataLoader[Patches]:
        """Batches that are always the same, the last one smaller."""
        return DataLoader(
            self.validation_pieces,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            collate_fn=pack,
        )

    @staticmethod
    def collate(items: Sequence[Any]) -> Any:
        """Make a batch of items."""
        return pack(items)

    def _batches(self) -> ShuffledBatches:
        assert self.trainer is not None
        dealt = (self.seed, self.trainer.global_rank, self.trainer.world_size)
        if self.batch_patches is None:
            return ShuffledBatches(len(self.train_pieces), self.batch_size, *dealt)
        if self.batch_patches < self.patch_length:
            raise UserError(
                f"a piece may have {self.patch_length} patches, more than a batch of "
                f"{self.batch_patches}; raise stage.data.batch_patches"
            )
        estimates = np.array(self._rows("train")["characters"]) // _CHARACTERS_A_PATCH
        sizes = estimates.clip(1, self.patch_length)
        batches = PatchBatches(sizes.tolist(), self.batch_patches, *dealt)
        if len(batches) == 0:
            raise UserError(
                f"{self.path} has about {sizes.sum()} patches to choose from, fewer than one batch "
                f"of {self.batch_patches} on each of {self.trainer.world_size} ranks; lower "
                "stage.data.batch_patches"
            )
        return batches

    def _to_train_on(self, rows: Dataset) -> PieceDataset:
        return PieceDataset(rows, self.patch_length, self.transpose, self.seed, self.prompted)

    def _to_validate(self, rows: Dataset) -> Sequence[Any]:
        return validation_pieces(rows, self.patch_length, self.prompted)

    def _rows(self, split: str) -> Dataset:
        return storage.read(self.path, split, self.where)
