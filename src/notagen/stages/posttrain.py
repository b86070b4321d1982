"""Post-training: from pre-trained weights on a chosen part of the corpus (NotaGen-X)."""

from __future__ import annotations

from notagen.stages.language_model import LanguageModel


class Posttrain(LanguageModel):
    """Between pre-training and fine-tuning."""
