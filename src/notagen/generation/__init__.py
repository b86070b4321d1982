"""A piece of music from a model: prompts, sampling, drafts, batches."""

from notagen.generation.draft import Ending
from notagen.generation.sampling import Sampling
from notagen.generation.writing import Written, generate
from notagen.prompt import Prompt

__all__ = ["Ending", "Prompt", "Sampling", "Written", "generate"]
