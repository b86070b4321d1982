"""What a run tells while it trains, beside its losses."""

from __future__ import annotations

import time
from typing import Any

import lightning as L

from notagen.batch import Batch
from notagen.patches import EOS


class Throughput(L.Callback):
    """Logs characters of text per second of wall clock, over all ranks, every so many steps."""

    def __init__(self, every_n_steps: int) -> None:
        self.every_n_steps = every_n_steps
        self.characters = 0
        self.since = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Start counting where nothing was counted yet."""
        if self.since == 0.0:
            self.since = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Count a batch; log when the other numbers are logged."""
        self.characters += int((batch.patches > EOS).sum())
        if trainer.global_step % self.every_n_steps == 0:
            now = time.monotonic()
            rate = self.characters * trainer.world_size / (now - self.since)
            stage.log("train/characters_per_second", rate, rank_zero_only=True)
            self.characters, self.since = 0, now

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Leave the time of a validation out."""
        self.characters, self.since = 0, time.monotonic()


class Report(L.Callback):
    """Prints a line after every validation, so that a log file tells how a run goes."""

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Print step, losses and rate."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        names = ("train/loss", "val/loss", "val/bits_per_character", "train/characters_per_second")
        numbers = (
            f"{name} {float(trainer.callback_metrics[name]):.4g}"
            for name in names
            if name in trainer.callback_metrics
        )
        print(f"step {trainer.global_step}/{trainer.max_steps}: {', '.join(numbers)}", flush=True)
