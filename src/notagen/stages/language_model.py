"""What pre-training, post-training and fine-tuning share: the likelihood of the next patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from notagen.data.batches import Batch
from notagen.metrics.bits import BitsPerCharacter, bits_per_character
from notagen.model import NotaGen, predicted, weights
from notagen.patches import EOS
from notagen.stages.base import MakeOptimizer, MakeSchedule, Stage
from notagen.training.fsdp import BF16_MIXED, shard


class LanguageModel(Stage):
    """Next-patch prediction on packed pieces (paper, section 3.1).

    Args:
        model: the backbone.
        optimizer: makes an optimizer of named parameters.
        schedule: makes a schedule, stepped after every step, of that optimizer.
        seed: of dropout.
        char_chunk: patches whose char level is run forward and backward at once, to save memory;
            None for all of a batch.
    """

    model: NotaGen

    def __init__(
        self,
        model: NotaGen,
        optimizer: MakeOptimizer,
        schedule: MakeSchedule,
        seed: int,
        char_chunk: int | None = None,
    ) -> None:
        super().__init__(model, optimizer, schedule, seed)
        self.char_chunk = char_chunk
        self.validation_bits = BitsPerCharacter()

    def configure_model(self) -> None:
        """Spread the weights over the ranks where the strategy asks for it (FSDP2)."""
        if self.device_mesh is not None:
            mixed = self.trainer.precision == "bf16-mixed"
            shard(self.model, self.device_mesh["data_parallel"], BF16_MIXED if mixed else None)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean negative log-likelihood of the characters of all ranks' batches, in nats.

        Ranks average their gradients, but some have more characters than others. So each divides
        its sum by the mean number of characters a rank, not by its own: the average is then the
        gradient of the mean over all characters, as one process would have it.
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
        nll: Tensor = self.model(batch.patches, batch.lengths)
        mask = predicted(batch.patches, batch.lengths.tolist())
        self.validation_bits.update(nll, batch.patches)
        self.log("val/loss", nll.sum() / mask.sum(), batch_size=int(mask.sum()), sync_dist=True)
        self.log("val/bits_per_character", self.validation_bits, prog_bar=True)
        return nll

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what the backbone is, so that a checkpoint can be loaded by itself."""
        checkpoint["backbone"] = weights.describe(self.model)

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write the backbone of one of this stage's checkpoints, whole or not; adapters merged."""
        weights.save(weights.load(str(checkpoint)), out)
