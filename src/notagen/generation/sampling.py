"""Choosing the next character (paper, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from notagen.patches import PATCH_SIZE


@dataclass(frozen=True)
class Sampling:
    """How characters are drawn.

    The filters work on probabilities and in the published order: the ``top_k`` most likely
    characters, of these the fewest that hold ``top_p``, and only then the temperature.
    ``top_k=1`` is greedy.
    """

    top_k: int = 9
    top_p: float = 0.9
    temperature: float = 1.2

    def __post_init__(self) -> None:
        if self.top_k < 1 or not 0 < self.top_p <= 1 or self.temperature <= 0:
            raise ValueError(
                "sampling needs top_k of 1 or more, top_p in (0, 1] and a positive temperature, "
                f"not {self.top_k}, {self.top_p} and {self.temperature}"
            )

    def draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """Draw one id a row.

        Args:
            logits: float [rows, 128]; minus infinity forbids an id.
            uniform: float [rows], uniform in [0, 1), the only randomness.

        Returns:
            int64 [rows].
        """
        likely, ids = logits.softmax(-1).topk(self.top_k)
        likely = likely / likely.sum(-1, keepdim=True)
        before = likely.cumsum(-1) - likely
        likely = torch.where(before < self.top_p, likely, 0.0) ** (1 / self.temperature)
        edges = likely.cumsum(-1)
        chosen = (uniform[:, None] * edges[:, -1:] >= edges).sum(-1, keepdim=True)
        return ids.gather(-1, chosen.clamp(max=self.top_k - 1)).squeeze(-1)


def patch_noise(seed: int, piece: int, patch: int) -> npt.NDArray[np.float32]:
    """The uniform numbers that draw one patch, [16].

    They depend on the piece and its place in it alone, so that a piece is the same whatever
    others are drawn beside it.
    """
    return np.random.default_rng((seed, piece, patch)).random(PATCH_SIZE, dtype=np.float32)
