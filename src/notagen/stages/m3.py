"""M3: train a music encoder to restore hidden bars, then fit the projection of its features."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import BinaryAUROC

from notagen.data.batches import Batch
from notagen.data.datamodule import CorpusData
from notagen.errors import UserError
from notagen.metrics.bits_metric import BitsPerCharacter
from notagen.model import weights
from notagen.patches import PAD
from notagen.ranges import Count, Fraction, Seed
from notagen.reward import projection
from notagen.reward.excerpts import Contrast, EncoderPieces, FixedExcerpts, balanced
from notagen.reward.m3 import M3, M3Output
from notagen.stages.base import MakeOptimizer, MakeSchedule, Stage

_VALIDATION_SEED = 0  # masks are the same in every validation


class M3Stage(Stage):
    """M3, and at the end the projection of its features.

    Args:
        model: the encoder and what trains it.
        optimizer, schedule, seed: as for :class:`Stage`; ``seed`` draws the masks, too.
        contrasts: training pieces that the projection is fitted to.
        shrinkage: of the projection, see :func:`notagen.reward.projection.fit`.

    Raises:
        UserError: the model is another.
    """

    model: M3
    model_class: ClassVar[type[M3]] = M3

    def __init__(
        self,
        model: M3,
        optimizer: MakeOptimizer | None = None,
        schedule: MakeSchedule | None = None,
        seed: Seed = 0,
        contrasts: Count = 600,
        shrinkage: Fraction = 0.3,
    ) -> None:
        super().__init__(model, optimizer, schedule, seed)
        if not isinstance(model, M3):
            raise UserError("stage=m3 trains an M3; leave out model=, or choose model=m3")
        self.contrasts = contrasts
        self.shrinkage = shrinkage
        self.validation_losses = EncoderLoss()
        self.validation_bits = BitsPerCharacter()
        self.validation_auroc = BinaryAUROC()

    def configure_model(self) -> None:
        """Refuse FSDP, which this model does not know.

        Raises:
            UserError: the strategy would shard the weights.
        """
        if self.device_mesh is not None:
            raise UserError("stage=m3 fits on any device whole; use trainer=ddp")

    def forward(self, batch: Batch) -> M3Output:
        """Losses of a batch of excerpts, whose patches are hidden at random."""
        output: M3Output = self.model(batch.patches, batch.lengths.tolist())
        return output

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean negative log-likelihood of a hidden character and of a bar's place, in nats."""
        loss = _loss(self(batch))
        mean = self.finite_mean(loss)
        self.log("train/loss", mean, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the loss, the bits per hidden character, and how well misplaced bars are told."""
        number = index * self.trainer.world_size + self.trainer.global_rank  # of all ranks' batches
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_VALIDATION_SEED + number)
            output = self(batch)
        if not batch.counted:
            output = M3Output(*(part[:0] for part in output))
        self.validation_losses.update(output)
        self.validation_bits.update(output.nll, output.patches)
        self.validation_auroc.update(output.misplaced_logits, output.misplaced_labels.int())
        pieces = len(batch.lengths)
        self.log("val/loss", self.validation_losses, batch_size=pieces)
        self.log("val/bits_per_character", self.validation_bits, prog_bar=True, batch_size=pieces)
        self.log("val/misplaced_auroc", self.validation_auroc, prog_bar=True, batch_size=pieces)

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write the encoder of one of this stage's checkpoints, its projection fitted.

        Raises:
            UserError: the projection cannot be fitted, see :func:`projection.fit`.
        """
        self.load_state_dict(weights.read_checkpoint(checkpoint)["state_dict"])
        encoder = self.model.encoder.cpu().eval()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        contrasts = data.contrasts(self.contrasts)
        projection.fit(
            encoder,
            [contrast.real for contrast in contrasts],
            [contrast.corrupted for contrast in contrasts],
            [contrast.kind for contrast in contrasts],
            self.shrinkage,
        )
        encoder.save_whole(out)


class EncoderLoss(Metric):
    """The loss of training over batches and ranks: both of its means, summed."""

    higher_is_better = False
    full_state_update = False
    sums: Tensor
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, output: M3Output) -> None:
        """Add the losses of a batch."""
        sums, counts = _sums(output)
        self.sums += sums.detach()
        self.counts += counts

    def compute(self) -> Tensor:
        """The loss so far, a scalar in nats."""
        return (self.sums / self.counts.clamp(min=1)).sum().float()


def _loss(output: M3Output) -> Tensor:
    """Both means, each of nothing where a batch has none of its kind of excerpt."""
    sums, counts = _sums(output)
    return (sums / counts.clamp(min=1)).sum()


def _sums(output: M3Output) -> tuple[Tensor, Tensor]:
    """Sums in nats over hidden characters and over bars to proofread, and their numbers: [2]."""
    truth = output.misplaced_labels.to(output.misplaced_logits.dtype)
    doubts = F.binary_cross_entropy_with_logits(output.misplaced_logits, truth, reduction="sum")
    characters = (output.patches[:, 1:] != PAD).sum()
    return (
        torch.stack([output.nll.sum(), doubts]),
        torch.stack([characters, characters.new_tensor(len(truth))]),
    )


class M3Data(CorpusData):
    """Excerpts of all pieces, rarer kinds more often; ``patch_length`` is in bar patches."""

    prompted = False
    train_pieces: EncoderPieces

    def contrasts(self, most: int) -> list[Contrast]:
        """Excerpts of ``most`` training pieces, drawn at random, beside the same corrupted."""
        order = np.random.default_rng(self.seed).permutation(len(self.train_pieces))
        return [self.train_pieces.contrast(int(index)) for index in order[:most]]

    def _to_train_on(self, rows: Dataset) -> EncoderPieces:
        return EncoderPieces(balanced(rows), self.patch_length, self.transpose, self.seed)

    def _to_validate(self, rows: Dataset) -> FixedExcerpts:
        return FixedExcerpts(rows, self.patch_length)
