"""CorpusData: the LightningDataModule over a prepared corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import lightning as L
import numpy as np
from annotated_types import Interval
from datasets import Dataset
from torch.utils.data import DataLoader

from notagen.data import storage
from notagen.data.batches import (
    PatchBatches,
    PieceLoader,
    ShuffledBatches,
    pack_validation,
)
from notagen.data.pieces import PieceDataset, Transpose, collection_of, prompt_of, validation_pieces
from notagen.errors import UserError
from notagen.prompts import Prompt
from notagen.ranges import Count, Length, Seed

_CHARACTERS_PER_PATCH = 11  # on average: a patch ends with its bar


class CorpusData(L.LightningDataModule):
    """Pieces of a prepared corpus: random keys and windows in training, fixed ones elsewhere.

    Args:
        path: a prepared corpus.
        patch_length: the model's context, in patches.
        batch_size: pieces per step on each rank.
        transpose: the keys to draw from in training.
        workers: loader processes per rank.
        seed: seed of order, keys and windows.
        where: which pieces to use, as an expression over the columns of the corpus
            (``composer == "Haydn, Joseph" and voices == 4``); None for all.
        batch_patches: approximate number of patches per step on each rank, instead of
            ``batch_size`` pieces.
    """

    prompted: ClassVar[bool]

    def __init__(
        self,
        path: str,
        patch_length: Length,
        batch_size: Count,
        transpose: Transpose,
        workers: Annotated[int, Interval(ge=0, le=1000)],
        seed: Seed,
        where: str | None = None,
        batch_patches: Count | None = None,
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
        self._splits: dict[str, Dataset] = {}

    @property
    def prompts(self) -> list[Prompt]:
        """Prompts of the training pieces; empty if the stage trains without prompts."""
        if not self.prompted:
            return []
        return [prompt_of(row) for row in self._rows("train").select_columns(list(Prompt._fields))]

    def setup(self, stage: str | None = None) -> None:
        """Open the splits that ``stage`` (fit, validate, test or predict) needs.

        Raises:
            UserError: there is no such corpus or split, or it has too few pieces.
        """
        if stage in (None, "fit"):
            rows, held_out = self._rows("train"), self._rows("validation")
            self._check_training(len(rows))
            self._check_validation(len(held_out))
            self.train_pieces = self._to_train_on(rows)
            self.validation_pieces = self._with_collections(held_out)
        elif stage == "test":
            self.test_pieces = self._with_collections(self._rows("test"))
        else:
            held_out = self._rows("validation")
            self._check_validation(len(held_out))
            self.validation_pieces = self._with_collections(held_out)

    def train_dataloader(self) -> PieceLoader:
        """Batches in random keys and windows."""
        return PieceLoader(self.train_pieces, self._batches(), self.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """The validation pieces in their order; the last batch is smaller."""
        return self._in_order(self.validation_pieces)

    def test_dataloader(self) -> DataLoader[Any]:
        """The test pieces in their order, of a corpus with a test split."""
        return self._in_order(self.test_pieces)

    def predict_dataloader(self) -> DataLoader[Any]:
        """The validation pieces in their order."""
        return self._in_order(self.validation_pieces)

    def _in_order(self, items: list[tuple[Any, str]]) -> DataLoader[Any]:
        return DataLoader(
            items,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            collate_fn=pack_validation,
        )

    def _check_training(self, pieces: int) -> None:
        assert self.trainer is not None
        ranks = self.trainer.world_size
        if self.where is not None and not pieces:
            raise UserError(f"{self.path} has no training piece with {self.where}")
        if pieces < self.batch_size * ranks:
            raise UserError(
                f"{self.path} has {pieces} training pieces to choose from, fewer than one batch "
                f"of {self.batch_size} on each of {ranks} ranks; lower stage.data.batch_size"
            )

    def _check_validation(self, pieces: int) -> None:
        if not pieces:
            raise UserError(
                f"{self.path} has no validation pieces to choose from; prepare it with a larger "
                "validation_fraction, or widen stage.data.where"
            )

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
        estimates = np.array(self._rows("train")["characters"]) // _CHARACTERS_PER_PATCH
        sizes = estimates.clip(1, self.patch_length)
        batches = PatchBatches(sizes.tolist(), self.batch_patches, *dealt)
        if len(batches) == 0:
            raise UserError(
                f"{self.path} has about {sizes.sum()} patches to choose from, fewer than one batch "
                f"of {self.batch_patches} on each of {self.trainer.world_size} ranks; lower "
                "stage.data.batch_patches"
            )
        return batches

    def _with_collections(self, rows: Dataset) -> list[tuple[Any, str]]:
        """Validation items of the rows, each with the collection of its piece."""
        collections = map(collection_of, rows["piece"])
        return list(zip(self._to_validate(rows), collections, strict=True))

    def _to_train_on(self, rows: Dataset) -> PieceDataset:
        """Training items; a stage with other items overrides this."""
        return PieceDataset(rows, self.patch_length, self.transpose, self.seed, self.prompted)

    def _to_validate(self, rows: Dataset) -> Sequence[Any]:
        """Validation items; a stage with other items overrides this."""
        return validation_pieces(rows, self.patch_length, self.prompted)

    def _rows(self, split: str) -> Dataset:
        """Rows of a split, opened and filtered once."""
        if split not in self._splits:
            self._splits[split] = storage.read(self.path, split, self.where)
        return self._splits[split]
