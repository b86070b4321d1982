"""One LightningDataModule a stage: they differ in which pieces they take and what precedes them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import lightning as L
from datasets import Dataset
from torch.utils.data import DataLoader

from notagen.batch import pack
from notagen.data import storage
from notagen.data.keys import Transpose
from notagen.data.loader import PieceLoader, ShuffledBatches
from notagen.data.pieces import Pieces, fixed_pieces, prompt_of
from notagen.errors import UserError
from notagen.patches import Patches
from notagen.prompt import Prompt


class CorpusData(L.LightningDataModule):
    """Pieces of a prepared corpus: random keys and windows to train on, fixed ones to validate.

    Args:
        path: a prepared corpus.
        patch_length: the model's context, in patches.
        batch_size: pieces a step on each rank.
        transpose: which keys are drawn.
        workers: loader processes.
        seed: seed of order, keys and windows.
        select: which pieces to take, as an expression over the columns of the corpus
            (``composer == "Haydn, Joseph" and voices == 4``); None for all.
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
        select: str | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.transpose: Transpose = transpose
        self.workers = workers
        self.seed = seed
        self.select = select

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
        if len(rows) < self.batch_size * ranks:
            raise UserError(
                f"{self.path} has {len(rows)} training pieces to choose from, fewer than one batch "
                f"of {self.batch_size} on each of {ranks} ranks; lower stage.data.batch_size"
            )
        if len(held_out) == 0:
            raise UserError(
                f"{self.path} has no validation pieces to choose from; prepare it with a larger "
                "validation_share, or widen stage.data.select"
            )
        self.train_pieces = Pieces(
            rows, self.patch_length, self.transpose, self.seed, self.prompted
        )
        self.validation_pieces = fixed_pieces(held_out, self.patch_length, self.prompted)

    def train_dataloader(self) -> PieceLoader:
        """Batches of random keys and windows."""
        assert self.trainer is not None
        batches = ShuffledBatches(
            len(self.train_pieces),
            self.batch_size,
            self.seed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return PieceLoader(self.train_pieces, batches, self.workers)

    def val_dataloader(self) -> DataLoader[Patches]:
        """Batches that are always the same, the last one smaller."""
        return DataLoader(
            self.validation_pieces,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            collate_fn=pack,
        )

    def _rows(self, split: str) -> Dataset:
        rows = storage.read(self.path, split)
        return rows if self.select is None else storage.select(rows, self.select)


class PretrainData(CorpusData):
    """The whole corpus, unconditioned (paper, section 3.2)."""

    prompted = False


class PosttrainData(CorpusData):
    """A chosen part of the corpus, unconditioned (NotaGen-X)."""

    prompted = False


class FinetuneData(CorpusData):
    """Pieces that begin with their period, composer and instrumentation (paper, section 3.2)."""

    prompted = True
