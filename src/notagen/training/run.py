"""Run: the folder of one training, the weights it starts from, the checkpoint it resumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Any, Literal, Protocol

import lightning as L
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import DictConfig
from torch import nn

from notagen.errors import UserError
from notagen.model import NotaGen, weights
from notagen.prompts import Prompt, save_known
from notagen.training import checkpoints, resume


class Exports(Protocol):
    """A stage, by what a run asks of it."""

    def export(self, checkpoint: Path, out: Path) -> None:
        """Write the model of one of its checkpoints to a ``model/`` folder."""


@dataclass(frozen=True)
class Run:
    """One training of one stage.

    Attributes:
        out: folder of the stage.
        start: name of the weights it starts from; None for random ones, and where it resumes.
        checkpoint: the checkpoint it resumes; None for a new run.
        complete: whether its weights are there already.
    """

    out: Path
    start: str | None
    checkpoint: Path | None
    complete: bool

    @classmethod
    def open(
        cls,
        out: Path,
        *,
        resume: bool | Literal["auto"],
        init_from: str | None,
        starts_from: Sequence[str],
    ) -> Run:
        """Find the checkpoint to resume and the weights to start from.

        Args:
            out: folder of the stage.
            resume: True: from ``last.ckpt``; ``"auto"``: if there is one, and not at all where
                the stage is complete; False: there must be none.
            init_from: weights to start from; None: those of the first of ``starts_from``.
            starts_from: folders beside ``out`` whose ``model/`` the stage may start from.

        Raises:
            UserError: there is no such checkpoint, or a run, weights or a file of something else
                that would be replaced; or ``resume`` is none of the three; or there are no weights
                to start from.
        """
        if resume not in (True, False, "auto"):
            raise UserError(f"resume={resume} is not known; choose true, false or auto")
        last = out / "checkpoints" / "last.ckpt"
        if resume is True and not last.exists():
            raise UserError(
                f"there is nothing to resume: {last} does not exist; leave out resume=true"
            )
        if resume is False and last.exists():
            raise UserError(
                f"{out} holds an earlier run; resume it (resume=true) or name another (run=NAME)"
            )
        complete = resume == "auto" and (out / "model").is_dir()
        if not last.exists() and not complete:
            _check_unused(out)
        starts = not last.exists() and not complete
        return cls(
            out=out,
            start=init_from or _predecessor(out, starts_from) if starts else None,
            checkpoint=last if last.exists() else None,
            complete=complete,
        )

    @property
    def source(self) -> str:
        """Name of what the run starts or resumes from, to be printed."""
        return str(self.checkpoint or self.start or "random weights")

    def load_start(
        self, model: nn.Module, start: NotaGen | None, sizes: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Give a model the weights that the run starts from; a resumed run has its own.

        Args:
            model: changed in place.
            start: the weights, where they were loaded before.
            sizes: of all known models, by name.

        Raises:
            UserError: they are of another size, or of another kind of model.
        """
        if self.start is None:
            return
        if not isinstance(model, NotaGen):
            raise UserError(f"a {type(model).__name__} starts afresh; leave out init_from=")
        weights.load_into(model, start or weights.load(self.start), self.start, sizes)

    def check_settings(
        self, begun: Mapping[str, Any], config: DictConfig, ranks: int, schedule: Any
    ) -> None:
        """See that the checkpoint can be resumed with a configuration, see :mod:`.resume`.

        Args:
            begun: the configuration it was begun with, as plain values.
            config: the one to resume it with.
            ranks: number of ranks to resume on.
            schedule: as built from ``config``.

        Raises:
            UserError: it cannot; or it is damaged; or it has more steps than are to be trained.
        """
        assert self.checkpoint is not None
        contents = checkpoints.read(self.checkpoint)
        step, last = contents["global_step"], config.trainer.max_steps
        if step > last:
            raise UserError(
                f"{self.checkpoint} has {step} steps, more than stage.max_steps={last}; raise it, "
                "or name another run (run=NAME)"
            )
        resume.check(
            self.out,
            begun,
            config,
            ranks=(checkpoints.ranks(contents), ranks),
            step=step,
            schedule=schedule,
        )

    def check(self, stage: L.LightningModule) -> None:
        """See that a stage can resume from the checkpoint.

        Raises:
            UserError: it is of another model.
        """
        if self.checkpoint is not None:
            checkpoints.check(self.checkpoint, stage.state_dict())

    def export(
        self,
        stage: Exports,
        trainer: L.Trainer,
        which: Literal["best", "last"],
        prompts: Sequence[Prompt],
    ) -> dict[str, float] | None:
        """Write the weights of the best or the last checkpoint to ``model/``, on the first rank.

        Args:
            stage: as trained.
            trainer: that trained it.
            which: the last stands in for a best one that was never validated.
            prompts: of the training pieces, kept beside the weights.

        Returns:
            The numbers of the checkpoint's validation, and its step; None on other ranks and
            after a dry run.
        """
        if not trainer.is_global_zero:
            return None
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            print("one step of everything ran; nothing was kept")
            return None
        kept = exported(self.out, which)
        stage.export(kept, self.out / "model")
        save_known(prompts, self.out / "model")
        print("; ".join([f"weights in {self.out / 'model'}", *_curves(trainer)]))
        return checkpoints.numbers(kept)


def exported(out: Path, which: Literal["best", "last"]) -> Path:
    """The checkpoint whose weights become ``model/``: the last where there is no best."""
    best, last = (out / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    return best if which == "best" and best.exists() else last


def _check_unused(out: Path) -> None:
    """Refuse to replace weights without their checkpoints, or a file of something else.

    A ``config.yaml`` alone is what a run leaves that was stopped before its first checkpoint.
    """
    if (out / "model").exists():
        raise UserError(
            f"{out / 'model'} holds weights, and there is no checkpoint to resume; name another "
            "run (run=NAME), or move them away"
        )
    settings = out / "config.yaml"
    if settings.exists() and not {"stage", "trainer"} <= _top_keys(settings):
        raise UserError(
            f"{settings} is no training's; give another folder as out=, or move it away"
        )


def _top_keys(path: Path) -> set[str]:
    """The keys of a YAML file that stand at the beginning of a line."""
    lines = path.read_text(errors="replace").splitlines()
    return {line.partition(":")[0] for line in lines if line[:1].isalpha()}


def _curves(trainer: L.Trainer) -> list[str]:
    """Places of the curves of each logger; W&B has said it by itself."""
    return [
        f"curves: tensorboard --logdir {Path(logger.log_dir)}"
        if isinstance(logger, TensorBoardLogger)
        else f"curves: {Path(logger.log_dir, 'metrics.csv')}"
        for logger in trainer.loggers
        if isinstance(logger, TensorBoardLogger | CSVLogger)
    ]


def _predecessor(out: Path, starts_from: Sequence[str]) -> str | None:
    """The weights of the first stage that is there."""
    # ".." is taken off the name: the folder of this run need not be there yet.
    candidates = [Path(normpath(out.parent / name / "model")) for name in starts_from]
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None and candidates:
        raise UserError(
            f"{out.name} starts from other weights, and there are none at "
            f"{' or '.join(map(str, candidates))}; train that stage first with the same run=, "
            "or give init_from="
        )
    return None if found is None else str(found)
