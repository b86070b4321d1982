"""Training a music encoder: restore hidden bars, then make features that can be compared."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import BinaryAUROC

from notagen import checkpoints
from notagen.batch import Batch
from notagen.metrics import BitsPerCharacter
from notagen.patches import PAD
from notagen.reward import projection
from notagen.reward.m3 import M3, Answers
from notagen.stages.training import MakeOptimizer, MakeSchedule, Training

_VALIDATION_SEED = 0  # masks are the same in every validation


class TrainEncoder(Training):
    """M3, and at the end the projection of its features.

    Args:
        model: the encoder and what trains it.
        optimizer: makes an optimizer of named parameters.
        schedule: makes a schedule, stepped after every step, of that optimizer.
        seed: of the masks.
        contrasts: training pieces that the projection is fitted to.
        shrinkage: of the projection, see :func:`notagen.reward.projection.fit`.
    """

    model: M3

    def __init__(
        self,
        model: M3,
        optimizer: MakeOptimizer,
        schedule: MakeSchedule,
        seed: int,
        contrasts: int,
        shrinkage: float,
    ) -> None:
        super().__init__(model, optimizer, schedule, seed)
        self.contrasts = contrasts
        self.shrinkage = shrinkage
        self.validation_bits = BitsPerCharacter()
        self.validation_doubts = BinaryAUROC()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean negative log-likelihood of a hidden character and of a bar's place, in nats."""
        loss = _loss(self.model(batch.patches, batch.lengths.tolist()))
        mean = self.finite_mean(loss)
        self.log("train/loss", mean, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the loss, the bits per hidden character, and how well misplaced bars are told."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_VALIDATION_SEED + index)
            answers: Answers = self.model(batch.patches, batch.lengths.tolist())
        self.validation_bits.update(answers.nll, answers.patches)
        self.validation_doubts.update(answers.doubts, answers.misplaced.int())
        pieces = len(batch.lengths)
        self.log("val/loss", _loss(answers), batch_size=pieces, sync_dist=True)
        self.log("val/bits_per_character", self.validation_bits, prog_bar=True)
        self.log("val/misplaced_auroc", self.validation_doubts, prog_bar=True)

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write the encoder of one of this stage's checkpoints, its projection fitted."""
        self.load_state_dict(checkpoints.read(checkpoint)["state_dict"])
        encoder = self.model.encoder.cpu().eval()
        contrasts = self.trainer.datamodule.contrasts(self.contrasts)  # type: ignore[attr-defined]
        projection.fit(
            encoder,
            [contrast.real for contrast in contrasts],
            [contrast.corrupted for contrast in contrasts],
            [contrast.kind for contrast in contrasts],
            self.shrinkage,
        )
        encoder.save_whole(out)


def _loss(answers: Answers) -> Tensor:
    """Both means, each of nothing where a batch has none of its kind of excerpt."""
    truth = answers.misplaced.to(answers.doubts.dtype)
    doubts = F.binary_cross_entropy_with_logits(answers.doubts, truth, reduction="sum")
    characters = (answers.patches[:, 1:] != PAD).sum()
    return answers.nll.sum() / characters.clamp(min=1) + doubts / max(1, len(truth))
