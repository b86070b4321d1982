"""Generation: prompts, form, sampling, aligned voices, batches."""

from notagen.generation.constraints import Form
from notagen.generation.engine import GeneratedPiece, generate
from notagen.generation.piece import FinishReason, GenerationStats
from notagen.generation.sampling import Sampling
from notagen.prompts import Prompt

__all__ = [
    "FinishReason",
    "Form",
    "GeneratedPiece",
    "GenerationStats",
    "Prompt",
    "Sampling",
    "generate",
]
