"""Pairs of pieces, one preferred to the other, from the files of a DPO iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import pyarrow.parquet as pq
import torch.utils.data
from torch.utils.data import DataLoader

from notagen.batch import Pairs, pack
from notagen.data import storage
from notagen.data.loader import PieceLoader, ShuffledBatches
from notagen.data.pieces import fixed_pieces, prompt_of
from notagen.errors import UserError
from notagen.patches import Patches, encode
from notagen.prompt import Prompt


class Pair(NamedTuple):
    """Two pieces as numbers in the set of pieces."""

    chosen: int
    rejected: int


class PreferencePairs(torch.utils.data.Dataset[Pair]):
    """All pairs of a chosen and a rejected piece of one group.

    Args:
        rows: pieces with ``number``, ``group`` and ``role``, ``chosen`` or ``rejected``.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        roles: dict[tuple[int, str], list[int]] = {}
        for row in rows:
            roles.setdefault((row["group"], row["role"]), []).append(row["number"])
        groups = sorted({group for group, _ in roles})
        self.pairs = [
            Pair(*pair)
            for group in groups
            for pair in product(roles[group, "chosen"], roles[group, "rejected"])
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: tuple[int, int]) -> Pair:
        """The pair at (epoch, index), the same in every epoch."""
        return self.pairs[place[1]]


class PreferenceData(L.LightningDataModule):
    """Pairs to train on, and real music to validate on.

    Args:
        path: folder of the iteration, with ``preferences.parquet`` and, for training,
            ``reference.parquet``.
        corpus: a prepared corpus, for its validation pieces.
        patch_length: the model's context, in patches; a longer piece counts up to there, for
            policy and reference alike.
        batch_size: pairs a step on each rank.
        seed: of the order of the pairs.
        select: which pieces of the corpus, as in pre-training.
    """

    def __init__(
        self,
        path: str,
        corpus: str,
        patch_length: int,
        batch_size: int,
        seed: int,
        select: str | None = None,
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.corpus = Path(corpus)
        self.patch_length = patch_length
        self.batch_size = batch_size
        self.seed = seed
        self.select = select
        self.rows = pq.read_table(self.path / "preferences.parquet").to_pylist()
        self.pieces: dict[int, Patches] = {
            row["number"]: encode(row["text"])[:patch_length] for row in self.rows
        }

    @property
    def prompted(self) -> bool:
        """Whether the pieces begin with a prompt."""
        return any(row["prompt"] for row in self.rows)

    @property
    def prompts(self) -> list[Prompt]:
        """What the policy has been asked for, where it takes prompts: all of the chosen pieces."""
        return [prompt_of(row) for row in self._real("train")] if self.prompted else []

    def setup(self, stage: str | None = None) -> None:
        """Make the pairs.

        Raises:
            UserError: they are fewer than a batch.
        """
        assert self.trainer is not None
        self.pairs = PreferencePairs(self.rows)
        if len(self.pairs) < self.batch_size * self.trainer.world_size:
            raise UserError(
                f"{self.path} has {len(self.pairs)} pairs, fewer than one batch of "
                f"{self.batch_size} on each of {self.trainer.world_size} ranks; sample more pieces "
                "or lower stage.data.batch_size"
            )

    def predict_dataloader(self) -> DataLoader[Patches]:
        """Every piece once, in the order of the file, whose reference log-probability is asked."""
        return DataLoader(list(self.pieces.values()), batch_size=1, collate_fn=pack)  # type: ignore[arg-type]

    def train_dataloader(self) -> PieceLoader:
        """Batches of pairs, all once before any comes again."""
        assert self.trainer is not None
        reference = pq.read_table(self.path / "reference.parquet").to_pylist()
        self.reference = {row["number"]: row["log_prob"] for row in reference}
        self.asked = {row["number"]: row["prompt"] for row in self.rows}
        batches = ShuffledBatches(
            len(self.pairs),
            self.batch_size,
            self.seed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return PieceLoader(self.pairs, batches, workers=0, collate=self._collate)

    def val_dataloader(self) -> DataLoader[Patches]:
        """Real music, always the same."""
        held_out = fixed_pieces(self._real("validation"), self.patch_length, self.prompted)
        return DataLoader(held_out, batch_size=self.batch_size, collate_fn=pack)  # type: ignore[arg-type]

    def _collate(self, pairs: Sequence[Pair]) -> Pairs:
        numbers = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        return Pairs(
            *pack([self.pieces[number] for number in numbers]),
            reference=torch.tensor([self.reference[n] for n in numbers], dtype=torch.float64),
            prompts=[self.asked[pair.chosen] for pair in pairs],
        )

    def _real(self, split: str) -> Any:
        return storage.read(self.corpus, split, self.select)
