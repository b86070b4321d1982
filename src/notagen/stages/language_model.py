"""LanguageModel: next-patch prediction, what pretrain, posttrain and finetune share."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from notagen.data.batches import Batch
from notagen.errors import UserError
from notagen.metrics.bits import bits_per_character
from notagen.metrics.bits_metric import BitsPerCharacter, MeanLoss
from notagen.model import NotaGen, predicted, weights
from notagen.model.config import Level
from notagen.patches import EOS
from notagen.ranges import Count, Seed
from notagen.stages.base import MakeOptimizer, MakeSchedule, Stage
from notagen.training.fsdp import BF16_MIXED, shard


class LanguageModel(Stage):
    """Next-patch prediction on packed pieces (paper, section 3.1).

    Args:
        model: the backbone.
        optimizer, schedule, seed: as for :class:`Stage`.
        char_chunk: patches whose char level is run forward and backward at once, to save memory;
            None for all of a batch.
        freeze: the level whose weights are not trained; None for neither.

    Raises:
        UserError: ``freeze`` names no level.
    """

    model: NotaGen
    model_class: ClassVar[type[NotaGen]] = NotaGen

    def __init__(
        self,
        model: NotaGen,
        optimizer: MakeOptimizer | None = None,
        schedule: MakeSchedule | None = None,
        seed: Seed = 0,
        char_chunk: Count | None = None,
        freeze: Level | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule, seed)
        if freeze not in (None, "patch", "char"):
            raise UserError(f"freeze={freeze} is not a level; choose patch or char")
        if freeze is not None:
            getattr(model, f"{freeze}_decoder").requires_grad_(False)
        self.char_chunk = char_chunk
        self.validation_loss, self.validation_bits = MeanLoss(), BitsPerCharacter()
        self.test_loss, self.test_bits = MeanLoss(), BitsPerCharacter()

    def configure_model(self) -> None:
        """Shard the weights over the ranks where the strategy asks for it (FSDP2)."""
        if self.device_mesh is not None:
            mixed = self.trainer.precision == "bf16-mixed"
            shard(self.model, self.device_mesh["data_parallel"], BF16_MIXED if mixed else None)

    def forward(self, batch: Batch) -> Tensor:
        """Negative log-likelihood of each character of a batch, [patches, 16], in nats."""
        nll: Tensor = self.model(batch.patches, batch.lengths)
        return nll

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean negative log-likelihood of the characters of all ranks' batches, in nats.

        Where batches are accumulated, a step takes the mean of their means.

        Ranks average their gradients, but some have more characters than others. So each divides
        its sum by the mean number of characters per rank, not by its own: the average is then the
        gradient of the mean over all characters, as in one process.
        """
        nll = self.model(batch.patches, batch.lengths, self.char_chunk)
        characters = predicted(batch.patches, batch.lengths.tolist()).sum()
        loss: Tensor = nll.sum() / self.mean_over_ranks(characters.float())
        mean = self.finite_mean(loss)
        self.log("train/loss", mean, prog_bar=True)
        bits = bits_per_character(nll.detach().sum(), (batch.patches > EOS).sum())
        self.log("train/bits_per_character", bits)
        return loss

    def validation_step(self, batch: Batch, index: int) -> Tensor:
        """Log the mean loss and the bits per character over all validation characters.

        Returns:
            float [patches, 16], the negative log-likelihood of each, in nats.
        """
        return self._evaluate(batch, "val", self.validation_loss, self.validation_bits)

    def test_step(self, batch: Batch, index: int) -> Tensor:
        """:meth:`validation_step` on the test split."""
        return self._evaluate(batch, "test", self.test_loss, self.test_bits)

    def predict_step(self, batch: Batch, index: int) -> Tensor:
        """Log-probability of each piece of a batch, float64 [pieces], in nats."""
        return self.log_probs(batch).cpu()

    def log_probs(self, batch: Batch) -> Tensor:
        """Log-probability of each whole piece, float64 [pieces], in nats."""
        pieces = torch.split(self(batch), batch.lengths.tolist())
        return -torch.stack([nll.sum(dtype=torch.float64) for nll in pieces])

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write the backbone of one of this stage's checkpoints; adapters are merged."""
        weights.save(weights.load_checkpoint(checkpoint, type(self.model)), out)

    def _evaluate(self, batch: Batch, split: str, loss: MeanLoss, bits: BitsPerCharacter) -> Tensor:
        nll: Tensor = self(batch)
        counted = len(nll) if batch.counted else 0
        n_predicted = predicted(batch.patches, batch.lengths.tolist())[:counted].sum()
        loss.update(nll[:counted], n_predicted)
        bits.update(nll[:counted], batch.patches[:counted])
        self.log(f"{split}/loss", loss, batch_size=len(batch.lengths))
        self.log(f"{split}/bits_per_character", bits, prog_bar=True, batch_size=len(batch.lengths))
        return nll
