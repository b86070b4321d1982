"""One LightningDataModule a stage."""

from __future__ import annotations

from pathlib import Path

import lightning as L
from torch.utils.data import DataLoader

from notagen.batch import pack
from notagen.data import storage
from notagen.data.loader import PieceLoader, ShuffledBatches
from notagen.data.pieces import Pieces, Transpose, fixed_pieces
from notagen.errors import UserError
from notagen.patches import Patches
from notagen.prompt import Prompt


class PretrainData(L.LightningDataModule):
    """The whole corpus, unconditioned (paper, section 3.2).

    Args:
        path: a prepared corpus.
        patch_length: the model's context, in patches.
        batch_size: pieces a step on each rank.
        transpose: ``all`` 15 keys as published, or the ``original`` one.
        workers: loader processes.
        seed: seed of order, keys and windows.
    """

    def __init__(
        self,
        path: str,
        patch_length: int,
        batch_size: int,
        transpose: Transpose,
        workers: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.transpose: Transpose = transpose
        self.workers = workers
        self.seed = seed

    @property
    def prompts(self) -> list[Prompt]:
        """What pieces are conditioned on: nothing."""
        return []

    def setup(self, stage: str | None = None) -> None:
        """Open the corpus.

        Raises:
            UserError: there is none, or it has too few pieces for a batch.
        """
        rows = storage.read(self.path, "train")
        self.train_pieces = Pieces(rows, self.patch_length, self.transpose, self.seed)
        validation = storage.read(self.path, "validation")
        self.validation_pieces = fixed_pieces(validation, self.patch_length)
        assert self.trainer is not None
        if len(rows) < self.batch_size * self.trainer.world_size:
            raise UserError(
                f"{self.path} has {len(rows)} training pieces, fewer than one batch of "
                f"{self.batch_size} on each of {self.trainer.world_size} ranks; "
                "lower stage.data.batch_size"
            )

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
