"""Stage: the LightningModule that every stage extends."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from notagen.data.batches import Batch
from notagen.model.weights import explaining, read_checkpoint
from notagen.ranges import Seed

MakeOptimizer = Callable[[Iterable[tuple[str, nn.Parameter]]], Optimizer]
MakeSchedule = Callable[[Optimizer], LRScheduler]


class Stage(L.LightningModule):
    """A model being trained: its optimizer, schedule, random draws and hyperparameters.

    ``STAGE.load_from_checkpoint(path)`` makes the model anew from the sizes that the checkpoint
    holds.

    Args:
        model: the model to train. One with ``sizes`` and ``of_sizes`` can be loaded from a
            checkpoint without being given.
        optimizer: makes an optimizer of named parameters; not needed to validate or predict.
        schedule: makes a schedule of that optimizer, stepped after every step; None: constant.
        seed: seed of what a step draws: dropout, masks.
    """

    model: nn.Module
    model_class: ClassVar[Any]  # of a model that is made from a checkpoint's sizes

    def __init__(
        self,
        model: nn.Module,
        optimizer: MakeOptimizer | None = None,
        schedule: MakeSchedule | None = None,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model", "optimizer", "schedule"], logger=False)
        self.hparams["sizes"] = getattr(model, "sizes", None)
        self.model = model
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.seed = seed

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, **arguments: Any) -> Self:  # type: ignore[override]
        """Load a stage in evaluation mode, on the CPU.

        Args:
            checkpoint_path: a ``.ckpt`` file, or a folder of shards.
            arguments: of the constructor, in place of those that the checkpoint holds.

        Raises:
            UserError: the checkpoint is damaged, or of something else.
        """
        with explaining(str(checkpoint_path)):
            contents = read_checkpoint(Path(checkpoint_path))
            saved = contents["hyper_parameters"]
            if "model" not in arguments:
                arguments["model"] = cls.model_class.of_sizes(saved["sizes"])
            own = inspect.signature(cls).parameters  # a parent's are saved, too
            known = {name: value for name, value in saved.items() if name in own}
            stage = cls(**{**known, **arguments})
            stage.load_state_dict(contents["state_dict"])
        return stage.eval()

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Seed the step's draws by epoch, batch and rank, so that a resumed run draws the same."""
        entropy = (self.seed, self.current_epoch, index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

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

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write the model of one of this stage's checkpoints to a ``model/`` folder."""
        raise NotImplementedError

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer and schedule over all trained parameters."""
        assert self.make_optimizer is not None, "training needs an optimizer"
        trained = [
            (name, parameter)
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        ]
        optimizer = self.make_optimizer(trained)
        if self.make_schedule is None:
            return optimizer
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
