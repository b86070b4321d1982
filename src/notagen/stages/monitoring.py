"""What a run tells while it trains, beside its losses."""

from __future__ import annotations

import time
from typing import Any

import lightning as L

from notagen.batch import Batch
from notagen.patches import EOS


class Throughput(L.Callback):
    """Logs characters of text a second over all ranks, and the share of time spent waiting.

    ``train/characters_per_second`` is by the wall clock, validation left out;
    ``train/data_wait`` is the share of that time between the end of a step and the arrival of the
    next batch.
    """

    def __init__(self, every_n_steps: int) -> None:
        self.every_n_steps = every_n_steps

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Start counting."""
        self._restart()

    def on_train_batch_start(
        self, trainer: L.Trainer, stage: L.LightningModule, batch: Batch, index: int
    ) -> None:
        """A batch has arrived."""
        self.waited += time.monotonic() - self.step_ended

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        """Count a batch; log when the other numbers are logged."""
        self.step_ended = time.monotonic()
        self.characters += int((batch.patches > EOS).sum())
        if trainer.global_step % self.every_n_steps == 0:
            elapsed = self.step_ended - self.since
            rate = self.characters * trainer.world_size / elapsed
            stage.log("train/characters_per_second", rate, rank_zero_only=True)
            stage.log("train/data_wait", self.waited / elapsed, rank_zero_only=True)
            self._restart()

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Leave the time of a validation out."""
        self._restart()

    def _restart(self) -> None:
        self.characters, self.waited = 0, 0.0
        self.since = self.step_ended = time.monotonic()


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
