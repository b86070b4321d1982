"""SamplePiece: after every validation a generated piece on TensorBoard or W&B."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import Final

import lightning as L
import numpy as np
import numpy.typing as npt
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image
from torch import nn

from notagen.generation import GeneratedPiece, Sampling, generate
from notagen.model import NotaGen
from notagen.notation import Tune
from notagen.prompts import Prompt
from notagen.ranges import Seed
from notagen.scores.audio import samples
from notagen.scores.engrave import png, svg
from notagen.training.fsdp import whole
from notagen.training.signals import STOP

_SOUND_SECONDS: Final = 30  # of sound that are logged

Sound = tuple[npt.NDArray[np.float32], int]


class SamplePiece(L.Callback):
    """Logs one piece after every validation, see :mod:`notagen.training.sample_callback`.

    Args:
        sampling: how its characters are drawn.
        seed: the same for every sample, so that samples differ by the weights alone.
    """

    def __init__(self, sampling: Sampling, seed: Seed) -> None:
        self.sampling = sampling
        self.seed = seed
        self.prompt = ""

    def on_fit_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Choose the prompt that most training pieces have, where they have one."""
        prompts: Counter[Prompt] = Counter(trainer.datamodule.prompts)  # type: ignore[attr-defined]
        self.prompt = "".join(str(prompt) for prompt, _ in prompts.most_common(1))

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Write a piece on the first rank, and log it."""
        dry = trainer.fast_dev_run  # type: ignore[attr-defined]
        if trainer.sanity_checking or dry or not isinstance(stage.model, NotaGen):
            return
        model = whole(stage.model, trainer.is_global_zero)  # all ranks take part
        if model is None or not trainer.loggers:
            return
        with STOP.cut_short():  # a sample may take minutes
            sample = RenderedPiece.of(self._write(model))
            for logger in trainer.loggers:
                show(sample, logger, trainer.global_step)

    def _write(self, model: NotaGen) -> GeneratedPiece:
        training = model.training
        max_patches = model.config.patch_length
        try:
            [piece] = generate(model, [self.prompt], self.sampling, self.seed, 1, max_patches)
        finally:
            nn.Module.train(model, training)
        return piece


class WandbRun(WandbLogger):
    """A run on W&B that ends with the training, so that the next of a sweep has its own."""

    def finalize(self, status: str) -> None:
        """Close the run, on the one rank that has opened it."""
        super().finalize(status)
        if self._experiment is not None:
            self.experiment.finish()


@dataclass(frozen=True, slots=True)
class RenderedPiece:
    """A written piece, to be looked at.

    Attributes:
        text: as written; where it is no score, it begins with the reason.
        numbers: by name; empty where it is no score.
        page: the first one, None where it is no score.
        sound: its beginning, float32 [n], and samples a second; None where it is no score.
    """

    text: str
    numbers: dict[str, float]
    page: Image.Image | None = None
    sound: Sound | None = None

    @classmethod
    def of(cls, piece: GeneratedPiece) -> RenderedPiece:
        """Read and engrave a piece.

        ``sample/alignment_error`` is the share of bars whose voices do not agree;
        ``sample/resamples_per_bar`` says how often a voice had to be drawn again until they did
        (with ``sampling.align=enforce``): the model's own sense of alignment.
        """
        try:
            tune = Tune.parse(piece.text).complete_rests()
            page = Image.open(io.BytesIO(png(svg(tune)[0]))).convert("RGB")
            wave, rate = samples(tune)
        except Exception as problem:  # whatever a sample is, its training goes on
            return cls(f"{problem}\n\n{piece.text}", {})
        aligned = tune.aligned_bars()
        numbers = {
            "sample/alignment_error": 1 - sum(aligned) / len(aligned),
            "sample/resamples_per_bar": piece.stats.resamples / len(aligned),
        }
        return cls(piece.text, numbers, page, (wave[: _SOUND_SECONDS * rate], rate))


def show(sample: RenderedPiece, logger: Logger, step: int) -> None:
    """Log all of a sample; loggers without pictures and sound get the numbers."""
    if sample.numbers:
        logger.log_metrics(sample.numbers, step)
    if isinstance(logger, TensorBoardLogger):
        _show_on_tensorboard(sample, logger, step)
    elif isinstance(logger, WandbLogger):
        _show_on_wandb(sample, logger)


def _show_on_tensorboard(sample: RenderedPiece, logger: TensorBoardLogger, step: int) -> None:
    board = logger.experiment
    board.add_text("sample/text", f"```\n{sample.text}\n```", step)
    if sample.sound is not None:
        board.add_image("sample/score", np.asarray(sample.page), step, dataformats="HWC")
        wave, rate = sample.sound
        board.add_audio("sample/audio", wave[None], step, rate)


def _show_on_wandb(sample: RenderedPiece, logger: WandbLogger) -> None:
    logger.log_text("sample/text", columns=["text"], data=[[sample.text]])
    if sample.sound is not None:
        logger.log_image("sample/score", [sample.page])
        wave, rate = sample.sound
        logger.log_audio("sample/audio", [wave], sample_rate=[rate])
