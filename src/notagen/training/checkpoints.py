"""Checkpoints: ``last.ckpt`` and ``best.ckpt``, whole or not at all, checked before a resume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import lightning as L
import torch
import torch.distributed as dist
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor

from notagen.atomic import replacing
from notagen.data.batches import PieceLoader
from notagen.errors import Stopped, UserError
from notagen.model import shards
from notagen.model.weights import read_checkpoint
from notagen.ranges import Count
from notagen.training.signals import STOP

_NEEDED: Final = {"state_dict", "loops", "lr_schedulers"}


class LastCheckpoint(Checkpoint):
    """Writes ``last.ckpt`` now and then, around every validation, and when told to stop.

    On SIGTERM, which clusters send before they take a machine back, and on Ctrl-C, the step is
    finished, the checkpoint written, and :class:`Stopped` raised. Lightning's own handler talks to
    the other ranks from within the signal, where they may be in the middle of something else;
    here all ranks agree between two steps.

    Args:
        dirpath: folder of checkpoints.
        every_n_train_steps: optimizer steps between two.
    """

    def __init__(self, dirpath: str, every_n_train_steps: Count) -> None:
        self.path = Path(dirpath) / "last.ckpt"
        self.every_n_train_steps = every_n_train_steps
        self.step = 0
        self.whole = True  # no gradients are accumulated that a checkpoint would lose
        self.validated_step = 0
        self.listening = False
        self.stopping = 0  # the signal, once all ranks know of it

    def state_dict(self) -> dict[str, Any]:
        """At which step validation was last complete."""
        return {"validated_step": self.validated_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.validated_step = state_dict["validated_step"]

    def on_save_checkpoint(
        self, trainer: L.Trainer, stage: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the numbers of the last validation in every checkpoint."""
        checkpoint["validation"] = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val/")
        }

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Make up for a validation that the run was stopped in."""
        _continue_epoch(trainer)
        self.listening = False
        self.step = trainer.global_step
        self._validate_if_missed(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Save every ``every_n_train_steps``, before a validation, and before stopping."""
        self.whole = trainer.global_step != self.step
        if not self.whole:
            return
        self.step = trainer.global_step
        self.stopping = _agreed(trainer)
        regular = self.step % self.every_n_train_steps == 0 or self.step == trainer.max_steps
        if self.stopping or regular or _validation_is_due(trainer):
            self._save(trainer)

    def on_train_batch_start(
        self, trainer: L.Trainer, stage: L.LightningModule, batch: Any, index: int
    ) -> None:
        """Stop if the step before was the last: by now its numbers are logged, too."""
        if not self.listening:
            self._listen(trainer)
        self._stop(trainer)

    def on_validation_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Save where validation goes by the clock, and the step before could not know of it."""
        if not trainer.sanity_checking and trainer.val_check_batch is None:
            self._save(trainer)

    def on_validation_batch_end(
        self, trainer: L.Trainer, stage: L.LightningModule, *batch: Any
    ) -> None:
        """Stop if told to; the step before this validation is saved."""
        if not trainer.sanity_checking:
            self.stopping = self.stopping or _agreed(trainer)
            self._stop(trainer)

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Save what is now the best, too: it is written by now; if told to stop, validate again.

        Within an accumulation nothing is saved: the run would be resumed before this validation.
        """
        if trainer.sanity_checking:
            return
        self.stopping = _agreed(trainer)
        self._stop(trainer)
        if self.whole:
            self.validated_step = trainer.global_step
            self._save(trainer)

    def on_fit_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Make up for the last validation, where the run was stopped in it: no step is left.

        Signals are left to the command again.
        """
        self._validate_if_missed(trainer)
        STOP.forget()

    def on_exception(
        self, trainer: L.Trainer, stage: L.LightningModule, exception: BaseException
    ) -> None:
        """Leave signals to the command again, unless one of them is the reason."""
        if not self.stopping:
            STOP.forget()

    def _listen(self, trainer: L.Trainer) -> None:
        """Note signals from the first step on: until then there is nothing to finish.

        The first rank does so last: when it finishes a step, no other has been ended in it.
        """
        self.listening = True
        if not trainer.is_global_zero:
            STOP.listen()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            STOP.listen()

    def _stop(self, trainer: L.Trainer) -> None:
        if self.stopping:
            raise Stopped(f"stopped at step {trainer.global_step}", self.stopping)

    def _validate_if_missed(self, trainer: L.Trainer) -> None:
        if 0 < trainer.global_step != self.validated_step and _validation_is_due(trainer):
            _validate(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path, weights_only=False)


def _agreed(trainer: L.Trainer) -> int:
    """The signal that any of the ranks was told to stop by; 0 for none."""
    told = torch.tensor(STOP.number, device=trainer.strategy.root_device)
    if dist.is_initialized():
        dist.all_reduce(told, dist.ReduceOp.MAX)
    return int(told)


def _validation_is_due(trainer: L.Trainer) -> bool:
    """True if a validation follows the current batch; by the clock it is not known to."""
    if trainer.val_check_batch is None:
        return False
    return (trainer.fit_loop.total_batch_idx + 1) % trainer.val_check_batch == 0


def _validate(trainer: L.Trainer) -> None:
    """Run the validation that a stopped run was in, before the next step.

    Lightning 2.6 has no call for that: it continues with the next training batch. Read off
    ``_TrainingEpochLoop.on_advance_end``; `tests/training/test_interruptions.py` would notice.
    """
    loop = trainer.fit_loop.epoch_loop.val_loop
    loop.restarting = False
    trainer.validating = True
    loop.run()
    trainer.training = True


def _continue_epoch(trainer: L.Trainer) -> None:
    """Tell Lightning how many batches of the epoch are left, where they are divided anew.

    It counts those that were used before; their number on other ranks says nothing.
    """
    loader = trainer.train_dataloader
    if not isinstance(loader, PieceLoader) or not loader.divided_anew:
        return
    progress = trainer.fit_loop.epoch_loop.batch_progress
    left = 0 if progress.is_last_batch else loader.batches.remaining()
    current = progress.current
    change = max(0, int(trainer.num_training_batches) - left) - current.ready
    current.ready += change
    current.started += change  # type: ignore[attr-defined]  # both are there, for batches
    current.processed += change  # type: ignore[attr-defined]
    current.completed += change


class BestCheckpoint(ModelCheckpoint):
    """Keeps the checkpoint that did best in validation, also in a folder that was moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what is the best so far; Lightning's forgets it where the folder is another."""
        best = {self._here(path): score for path, score in state_dict["best_k_models"].items()}
        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        moved = {name: self._here(state_dict[name]) for name in paths}
        super().load_state_dict(
            {**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath}
        )

    def _here(self, path: str) -> str:
        assert self.dirpath is not None
        return str(Path(self.dirpath, Path(path).name)) if path else path


class AtomicCheckpointIO(TorchCheckpointIO):
    """One file, replaced in a single rename once it is on the disk.

    Lightning writes to the system's temporary folder and moves from there, which is a copy, and
    not atomic, where that is another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint``; what was at ``path`` stays until it is complete."""
        with replacing(Path(path), sync=True) as unfinished, unfinished.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Read a checkpoint, also a folder of shards that the ranks of FSDP2 have written."""
        if not Path(path).is_dir():
            return super().load_checkpoint(path, map_location, weights_only)
        return {**read_checkpoint(Path(path)), "optimizer_states": shards.optimizers(Path(path))}


def numbers(path: Path) -> dict[str, float]:
    """Metrics of the last validation before a checkpoint, if any, and its optimizer ``steps``."""
    contents = read_checkpoint(path)
    return {**contents.get("validation", {}), "steps": contents["global_step"]}


def read(path: Path) -> dict[str, Any]:
    """Contents of a checkpoint to resume, a file or folder.

    Raises:
        UserError: it is damaged, or of something else.
    """
    try:
        contents = read_checkpoint(path)
        missing = _NEEDED - contents.keys()
    except (OSError, RuntimeError, ValueError, EOFError, AttributeError, UnpicklingError) as error:
        raise UserError(
            f"cannot resume from {path}: it is damaged or no checkpoint; put another in its place "
            f"({path.with_name('best.ckpt')} is one where it exists), or start anew with run=NAME"
        ) from error
    if missing:
        raise UserError(
            f"cannot resume from {path}: it has no {', '.join(sorted(missing))}; it was not "
            "written by this program (to start from its weights, give init_from=)"
        )
    return contents


def ranks(contents: Mapping[str, Any]) -> int:
    """Number of ranks that a checkpoint was written by."""
    [loader] = contents["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    return int(loader["world_size"])


def check(path: Path, own: Mapping[str, Tensor]) -> None:
    """See that a stage can resume from ``path``.

    Args:
        path: a file or folder.
        own: the weights of the stage.

    Raises:
        UserError: it is damaged, or of something else, or of a model of another size.
    """
    weights = read(path)["state_dict"]
    for name, weight in own.items():
        if name not in weights:
            raise UserError(f"cannot resume from {path}: it has no weights named {name}")
        if weights[name].shape != weight.shape:
            raise UserError(
                f"cannot resume from {path}: its {name} is {list(weights[name].shape)}, that of "
                f"this model {list(weight.shape)}; give the model= and keys it was started with"
            )
