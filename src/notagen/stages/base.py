"""Stage: what all stages share, an optimizer, a schedule, seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from notagen.data.batches import Batch

MakeOptimizer = Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer]
MakeSchedule = Callable[[Optimizer], LRScheduler]


class Stage(L.LightningModule):
    """A model being trained.

    Args:
        model: what is trained.
        optimizer: makes an optimizer of named parameters.
        schedule: makes a schedule, stepped after every step, of that optimizer.
        seed: of what is drawn in a step: dropout, masks.
    """

    model: nn.Module

    def __init__(
        self, model: nn.Module, optimizer: MakeOptimizer, schedule: MakeSchedule, seed: int
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.seed = seed

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Seed what is drawn by the place of the batch, so that a resumed run draws the same."""
        place = (self.seed, self.current_epoch, index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))

    @staticmethod
    def mean_over_ranks(number: Tensor) -> Tensor:
        """The mean of what all ranks have computed, detached."""
        mean = number.detach().clone()
        if dist.is_initialized():
            dist.all_reduce(mean)
            mean /= dist.get_world_size()
        return mean

    def finite_mean(self, loss: Tensor) -> Tensor:
        """The mean over ranks of a loss, which must be finite.

        Raises:
            FloatingPointError: it is not, on every rank: none is left waiting for another.
        """
        mean = self.mean_over_ranks(loss)
        if not torch.isfinite(mean):
            raise FloatingPointError(f"the loss is {mean} at step {self.global_step}")
        return mean

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

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip, also before a fused step in bfloat16.

        Lightning refuses that in all mixed precision, since a fused step may undo the scaling of
        a loss only after the clipping. In bfloat16 a loss is not scaled.
        """
        if self.trainer.precision == "bf16-mixed" and gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
