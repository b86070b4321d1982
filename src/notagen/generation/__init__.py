"""Generation: prompts, form, sampling, aligned voices, batches."""

from typing import TYPE_CHECKING, Any

from notagen.generation.constraints import Form
from notagen.generation.sampling import Sampling
from notagen.prompts import Prompt

if TYPE_CHECKING:
    from notagen.generation.engine import GeneratedPiece, generate
    from notagen.generation.piece import FinishReason, GenerationStats

__all__ = [
    "FinishReason",
    "Form",
    "GeneratedPiece",
    "GenerationStats",
    "Prompt",
    "Sampling",
    "generate",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for: settings are checked and shown before."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from notagen.generation import engine, piece

    return getattr(engine if hasattr(engine, name) else piece, name)
