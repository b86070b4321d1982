"""Pre-training: the whole corpus, unconditioned, from random weights (paper, section 3.2)."""

from __future__ import annotations

from notagen.data.datamodule import CorpusData
from notagen.stages.language_model import LanguageModel


class Pretrain(LanguageModel):
    """The first stage."""


class PretrainData(CorpusData):
    """The whole corpus, unconditioned (paper, section 3.2)."""

    prompted = False
