"""A piece written now and then during training, to look at."""

from __future__ import annotations

import io

import lightning as L
import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import nn

from notagen.generation import Sampling, Written, generate
from notagen.model import NotaGen
from notagen.notation import NotationError, Tune
from notagen.scores import ScoreError
from notagen.scores.engrave import png, svg


class SamplePiece(L.Callback):
    """Logs one piece after every validation: its text, its first page, and what it cost.

    ``sample/tries_per_bar`` says how often a voice had to be drawn again until the bar's voices
    agreed (with ``sampling.align=enforce``): the model's own sense of alignment.

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
        piece = self._write(model)
        board, step = logger.experiment, trainer.global_step
        board.add_text("sample/text", f"```\n{piece.text}\n```", step)
        try:
            tune = Tune.parse(piece.text)
            page = png(svg(tune)[0])
        except (NotationError, ScoreError) as problem:
            board.add_text("sample/problem", str(problem), step)
            return
        board.add_scalar("sample/tries_per_bar", piece.tally.tries / len(tune.bars), step)
        image = np.asarray(Image.open(io.BytesIO(page)).convert("RGB"))
        board.add_image("sample/score", image, step, dataformats="HWC")

    def _write(self, model: NotaGen) -> Written:
        training = model.training
        most_patches = model.config.patch_length
        [piece] = generate(model, [self.prompt], self.sampling, self.seed, 1, most_patches)
        nn.Module.train(model, training)
        return piece
