"""A piece of music from a model: prompts, form, sampling, bars that agree, batches."""

from notagen.generation.draft import Ending
from notagen.generation.form import Form
from notagen.generation.sampling import Sampling
from notagen.generation.seat import Tally
from notagen.generation.writing import Written, generate
from notagen.prompt import Prompt

__all__ = ["Ending", "Form", "Prompt", "Sampling", "Tally", "Written", "generate"]
