"""A piece written now and then during training, to look at and to listen to."""

from __future__ import annotations

from collections import Counter

import lightning as L
from torch import nn

from notagen.generation import Sampling, Written, generate
from notagen.model import NotaGen
from notagen.model.parallel import whole
from notagen.prompt import Prompt
from notagen.stages.boards import Sample, show


class SamplePiece(L.Callback):
    """Logs one piece after every validation, see :mod:`notagen.stages.boards`.

    Args:
        sampling: how its characters are drawn.
        seed: the same for every sample, so that samples differ by the weights alone.
    """

    def __init__(self, sampling: Sampling, seed: int) -> None:
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
        sample = Sample.of(self._write(model))
        for logger in trainer.loggers:
            show(sample, logger, trainer.global_step)

    def _write(self, model: NotaGen) -> Written:
        training = model.training
        most_patches = model.config.patch_length
        [piece] = generate(model, [self.prompt], self.sampling, self.seed, 1, most_patches)
        nn.Module.train(model, training)
        return piece
