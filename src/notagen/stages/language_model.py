"""What pre-training, post-training and fine-tuning share: the likelihood of the next patch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from notagen.batch import Batch
from notagen.metrics import BitsPerCharacter
from notagen.model import NotaGen, predicted


class LanguageModel(L.LightningModule):
    """Next-patch prediction on packed pieces (paper, section 3.1).

    Args:
        model: the backbone.
        optimizer: makes an optimizer of named parameters.
        schedule: makes a schedule, stepped after every step, of that optimizer.
        seed: of dropout.
        chunk: patches whose char level is run forward and backward at once, to save memory; None
            for all of a batch.
    """

    def __init__(
        self,
        model: NotaGen,
        optimizer: Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer],
        schedule: Callable[[Optimizer], LRScheduler],
        seed: int,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.seed = seed
        self.chunk = chunk
        self.validation_bits = BitsPerCharacter()

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Seed dropout by the place of the batch, so that a resumed run draws the same."""
        place = (self.seed, self.current_epoch, index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Mean negative log-likelihood of the batch's characters, in nats."""
        nll = self.model(batch.patches, batch.lengths, self.chunk)
        loss: Tensor = nll.sum() / predicted(batch.patches, batch.lengths.tolist()).sum()
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {self.global_step}")
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the mean loss and the bits per character over all validation characters."""
        nll = self.model(batch.patches, batch.lengths)
        mask = predicted(batch.patches, batch.lengths.tolist())
        self.validation_bits.update(nll, batch.patches)
        self.log("val/loss", nll.sum() / mask.sum(), batch_size=int(mask.sum()), sync_dist=True)
        self.log("val/bits_per_character", self.validation_bits, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer and schedule over all trained parameters."""
        trained = [
            (name, parameter)
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        ]
        optimizer = self.make_optimizer(trained)
        schedule = self.make_schedule(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def load_weights(self, checkpoint: str | Path) -> None:
        """Take the backbone's weights out of one of this stage's checkpoints."""
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        self.load_state_dict(state)

    def export(self, out: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` to the folder ``out``, whole or not."""
        unfinished = out.with_name(f".{out.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        self.model.save_pretrained(unfinished)
        shutil.rmtree(out, ignore_errors=True)
        unfinished.rename(out)
