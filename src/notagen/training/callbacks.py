"""Callbacks that log throughput, memory, gradients and per-collection loss; a progress bar."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable
from typing import Any, Final

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import RichProgressBar
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from notagen.data.batches import Batch
from notagen.metrics.bits import bits_per_character
from notagen.model import predicted
from notagen.patches import EOS
from notagen.ranges import Count

_GIB: Final = 2**30
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # bytes


class Throughput(L.Callback):
    """Logs characters of text a second over all ranks, and the share of time spent waiting.

    ``train/characters_per_second`` is by the wall clock, validation left out;
    ``train/data_wait`` is the share of that time between the end of a step and the arrival of the
    next batch.
    """

    def __init__(self, every_n_steps: Count) -> None:
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


class PeakMemory(L.Callback):
    """Logs ``train/memory``, the most this process has held so far, in GiB.

    Of a GPU, what tensors took up on it; else, resident memory.
    """

    def __init__(self, every_n_steps: Count) -> None:
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Log when the other numbers are logged."""
        if trainer.global_step % self.every_n_steps == 0:
            stage.log("train/memory", _peak(stage.device) / _GIB, rank_zero_only=True)


def _peak(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


class GradientNorm(L.Callback):
    """Logs ``train/gradient_norm``: of all gradients together, before they are clipped."""

    def __init__(self, every_n_steps: Count) -> None:
        self.every_n_steps = every_n_steps

    def on_before_optimizer_step(
        self, trainer: L.Trainer, stage: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Log when the other numbers are logged."""
        if (trainer.global_step + 1) % self.every_n_steps == 0:
            gradients = [weight.grad for weight in stage.parameters() if weight.grad is not None]
            norm = get_total_norm(gradients)
            if isinstance(norm, DTensor):  # put together by all ranks
                norm = norm.full_tensor()
            stage.log("train/gradient_norm", norm)


class PerCollectionMetrics(L.Callback):
    """Logs loss and bits per character of each collection among the validation pieces.

    They are ``val/<collection>/loss``, in nats, and ``val/<collection>/bits_per_character``;
    where all pieces are of one collection there is nothing to add to ``val/loss``.
    """

    def on_validation_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Start counting."""
        self.sums: dict[str, Tensor] = {}

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        stage: L.LightningModule,
        outputs: Any,
        batch: Any,
        index: int,
        dataloader_index: int = 0,
    ) -> None:
        """Add the likelihood of the pieces to their collections."""
        if not isinstance(batch, Batch) or outputs is None or not batch.collections:
            return  # no likelihood of each piece, or no collections
        if not batch.counted:
            return
        names = list(dict.fromkeys(batch.collections))
        of_piece = torch.tensor([names.index(name) for name in batch.collections])
        of_patch = of_piece.repeat_interleave(batch.lengths.cpu()).to(outputs.device)
        counted = predicted(batch.patches, batch.lengths.tolist())
        parts = outputs, counted, batch.patches > EOS
        counts = torch.stack([part.sum(dim=1, dtype=torch.float64) for part in parts], dim=1)
        sums = counts.new_zeros(len(names), 3).index_add_(0, of_patch, counts)
        for name, own in zip(names, sums, strict=True):
            self.sums[name] = self.sums[name] + own if name in self.sums else own

    def on_validation_epoch_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Log what all ranks have counted."""
        nothing = torch.zeros(3, dtype=torch.float64, device=stage.device)
        names = _of_all_ranks(self.sums)
        sums = torch.stack([self.sums.get(name, nothing) for name in names] or [nothing])
        if dist.is_initialized():
            dist.all_reduce(sums)
        if len(names) < 2:
            return
        for name, (nats, n_predicted, characters) in zip(names, sums, strict=True):
            stage.log(f"val/{name}/loss", (nats / n_predicted).float(), rank_zero_only=True)
            bits = bits_per_character(nats, characters)
            stage.log(f"val/{name}/bits_per_character", bits, rank_zero_only=True)


def _of_all_ranks(names: Iterable[str]) -> list[str]:
    """All names that any rank has, in the same order on each."""
    own = sorted(names)
    if not dist.is_initialized():
        return own
    of_ranks: list[list[str]] = [[]] * dist.get_world_size()
    dist.all_gather_object(of_ranks, own)
    return sorted(set().union(*of_ranks))


class PrintMetrics(L.Callback):
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


class ProgressBar(RichProgressBar):
    """Lightning's, without a number of epochs: training counts steps."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch}".ljust(len(self.validation_description))
