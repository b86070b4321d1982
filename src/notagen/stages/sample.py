"""A piece written now and then during training, to look at."""

from __future__ import annotations

import io
from dataclasses import replace

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import nn

from notagen.generation import Sampling, generate
from notagen.model import NotaGen
from notagen.notation import NotationError, Tune
from notagen.scores import ScoreError
from notagen.scores.engrave import png, svg


class SamplePiece(L.Callback):
    """Logs one piece after every validation: its text, its first page, how many bars align.

    Args:
        sampling: how its characters are drawn.
        seed: the same for every sample, so that samples differ by the weights alone.
        prompt: the beginning it goes on from.
    """

    def __init__(self, sampling: Sampling, seed: int, prompt: str = "") -> None:
        self.sampling = sampling
        self.seed = seed
        self.prompt = prompt

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Write and log a piece on the first rank."""
        logger = trainer.logger
        if trainer.sanity_checking or not isinstance(logger, TensorBoardLogger):
            return
        model = stage.model
        assert isinstance(model, NotaGen)
        text = self._write(model)
        board, step = logger.experiment, trainer.global_step
        board.add_text("sample/text", f"```\n{text}\n```", step)
        try:
            tune = Tune.parse(text).complete_rests()
            page = png(svg(tune)[0])
        except (NotationError, ScoreError) as problem:
            board.add_text("sample/problem", str(problem), step)
            return
        aligned = tune.aligned_bars()
        board.add_scalar("sample/aligned_bars", sum(aligned) / len(aligned), step)
        image = np.asarray(Image.open(io.BytesIO(page)).convert("RGB"))
        board.add_image("sample/score", image, step, dataformats="HWC")

    def _write(self, model: NotaGen) -> str:
        training = model.training
        most_patches = model.config.patch_length
        # Bars are not drawn again here: how many align by themselves is what is logged.
        sampling = replace(self.sampling, align="off")
        [piece] = generate(model, [self.prompt], sampling, self.seed, 1, most_patches)
        nn.Module.train(model, training)
        return piece.text
