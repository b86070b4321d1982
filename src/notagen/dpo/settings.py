"""Settings of an iteration of preference training: rollout, pairs, bounds.

They are checked, and shown, before torch is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval

from notagen.ranges import Cosine, Count, Fraction, PositiveOrZero

Pairing = Literal["within", "across"]
"""``within``: pairs of pieces with the same prompt. ``across``: any chosen with any rejected, as
published."""


@dataclass(frozen=True)
class RolloutSettings:
    """Number and length of the pieces that a policy writes for an iteration.

    Attributes:
        per_prompt: pieces for each prompt.
        min_real: real pieces a prompt must have to be used.
        batch_size: pieces written at a time.
        max_patches: length at which a piece that does not end is stopped, in patches.
    """

    per_prompt: Count
    min_real: Count
    batch_size: Count
    max_patches: Count


@dataclass(frozen=True)
class PairSettings:
    """Choice of the pieces that make pairs (paper, section 3.3).

    Attributes:
        fraction: of the pieces of a prompt, how many are chosen, and how many rejected.
        max_similarity: cosine with a real piece above which a piece is a copy and is not chosen.
        max_misaligned: fraction of bars misaligned in the first draft above which a piece is not
            chosen; matters with ``sampling.align=enforce`` only, since others are excluded anyway.
        pairing: see :data:`Pairing`.
    """

    fraction: Annotated[float, Interval(gt=0, le=0.5)]
    max_similarity: Annotated[float, Interval(ge=-1, le=2)]  # above 1: nothing is a copy
    max_misaligned: Fraction
    pairing: Pairing

    def most_pairs(self, prompts: int, per_prompt: int) -> int:
        """Pairs of this number of pieces a prompt, if none of them is excluded."""
        rejected = extreme(self.fraction, per_prompt)
        chosen = min(rejected, per_prompt - rejected)
        groups = prompts if self.pairing == "within" else prompts**2
        return groups * chosen * rejected


def extreme(fraction: float, pieces: int) -> int:
    """Number of pieces that are chosen, and rejected, of so many: at least one."""
    return max(1, round(fraction * pieces))


@dataclass(frozen=True)
class Bounds:
    """Bounds for a policy that is trained for a higher score, named as in its figures."""

    copies: Fraction
    long_runs: Fraction
    self_similarity: Cosine
    real_bits_increase: PositiveOrZero

    def exceeded(self, line: Mapping[str, Any]) -> list[str]:
        """Names of the bounds that the figures of a policy exceed."""
        return [name for name, most in asdict(self).items() if line[name] > most]
