"""Fine-tuning: pieces with period, composer and instrumentation (paper, section 3.2)."""

from __future__ import annotations

from notagen.data.datamodule import CorpusData
from notagen.stages.language_model import LanguageModel


class Finetune(LanguageModel):
    """The stage that learns to answer prompts."""


class FinetuneData(CorpusData):
    """Pieces that begin with their period, composer and instrumentation (paper, section 3.2)."""

    prompted = True
