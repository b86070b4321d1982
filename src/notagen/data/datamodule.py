"""CorpusData: the LightningDataModule over a prepared corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import lightning as L
from annotated_types import Interval
from datasets import Dataset
from torch.utils.data import DataLoader

from notagen.data import storage
from notagen.data.batches import PatchBatches, PieceLoader, ShuffledBatches, pack
from notagen.data.pieces import (
    FixedPieces,
    PieceDataset,
    Transpose,
    estimated_patches,
    prompts_of,
)
from notagen.data.validation import fixed_loader, subset
from notagen.errors import UserError
from notagen.prompts import Prompt
from notagen.ranges import Count, Length, Seed


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
        validation_pieces: number of pieces to validate on, at most, always the same; None: all.
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
        validation_pieces: Count | None = None,
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
        self.validation_pieces = validation_pieces
        self._splits: dict[str, Dataset] = {}

    @property
    def prompts(self) -> list[Prompt]:
        """Prompts of the training pieces; empty if the stage trains without prompts."""
        if not self.prompted:
            return []
        return prompts_of(self._rows("train"))

    def setup(self, stage: str | None = None) -> None:
        """Open the splits that ``stage`` (fit, validate, test or predict) needs.

        Raises:
            UserError: there is no such corpus or split, or it has too few pieces.
        """
        if stage in (None, "fit"):
            rows = self._rows("train")
            self._check_training(len(rows))
            self.train_pieces = self._to_train_on(rows)
        if stage == "test":
            self._rows("test")
        else:
            self._check_validation(len(self._rows("validation")))

    def train_dataloader(self) -> PieceLoader:
        """Batches in random keys and windows."""
        return PieceLoader(self.train_pieces, self._batches(), self.workers)

    def val_dataloader(self) -> DataLoader[Any]:
        """The chosen validation pieces, dealt to the ranks."""
        return self._fixed(subset(self._rows("validation"), self.validation_pieces))

    def test_dataloader(self) -> DataLoader[Any]:
        """The test pieces, dealt to the ranks, of a corpus with a test split."""
        return self._fixed(self._rows("test"))

    def predict_dataloader(self) -> DataLoader[Any]:
        """All validation pieces in their order, on every rank; the last batch is smaller."""
        pieces = self._to_validate(self._rows("validation"))
        return DataLoader(pieces, batch_size=self.batch_size, collate_fn=pack)  # type: ignore[arg-type]

    def _fixed(self, rows: Dataset) -> DataLoader[Any]:
        assert self.trainer is not None
        ranks = self.trainer.global_rank, self.trainer.world_size
        return fixed_loader(rows, self._to_validate(rows), self.patch_length, *ranks)

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
        sizes = estimated_patches(self._rows("train"), self.patch_length)
        batches = PatchBatches(sizes.tolist(), self.batch_patches, *dealt)
        if len(batches) == 0:
            raise UserError(
                f"{self.path} has about {sizes.sum()} patches to choose from, fewer than one batch "
                f"of {self.batch_patches} on each of {self.trainer.world_size} ranks; lower "
                "stage.data.batch_patches"
            )
        return batches

    def _to_train_on(self, rows: Dataset) -> PieceDataset:
        """Training items; a stage with other items overrides this."""
        return PieceDataset(rows, self.patch_length, self.transpose, self.seed, self.prompted)

    def _to_validate(self, rows: Dataset) -> Sequence[Any]:
        """Validation items; a stage with other items overrides this."""
        return FixedPieces(rows, self.patch_length, self.prompted)

    def _rows(self, split: str) -> Dataset:
        """Rows of a split, opened and filtered once."""
        if split not in self._splits:
            self._splits[split] = storage.read(self.path, split, self.where)
        return self._splits[split]
