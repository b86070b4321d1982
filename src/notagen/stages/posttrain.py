"""Post-training: from pre-trained weights on a chosen part of the corpus (NotaGen-X)."""

from __future__ import annotations

from notagen.data.datamodule import CorpusData
from notagen.stages.language_model import LanguageModel


class Posttrain(LanguageModel):
    """Between pre-training and fine-tuning."""


class PosttrainData(CorpusData):
    """A chosen part of the corpus, unconditioned (NotaGen-X)."""

    prompted = False
