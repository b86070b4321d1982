"""Choosing the next character (paper, section 4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from struct import Struct
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from notagen.errors import UserError
from notagen.patches import PATCH_SIZE, VOCABULARY

_WORDS = Struct(f"<{PATCH_SIZE}I")

_MANY = 12  # rows from which on numpy is faster

Align = Literal["off", "report", "enforce"]


@dataclass(frozen=True)
class Sampling:
    """How characters are drawn, and which bars are drawn again.

    The filters work on probabilities and in the published order: the ``top_k`` most likely
    characters, of these the fewest that hold ``top_p``, and only then the temperature.
    ``top_k=1`` is greedy.

    Args:
        top_k: only the most likely characters.
        top_p: of these, the fewest that hold this share.
        temperature: above 1 evens out what is left.
        temperature_first: apply the temperature before the filters, as most programs do.
        align: what to do about bars whose voices do not agree: nothing, count them, or draw them
            again until they do.
        max_resamples: how often a line is drawn again before it is repaired by rule.

    Raises:
        UserError: (a ValueError) one of them is out of range.
    """

    top_k: int = 9
    top_p: float = 0.9
    temperature: float = 1.2
    temperature_first: bool = False
    align: Align = "enforce"
    max_resamples: int = 32

    def __post_init__(self) -> None:
        if not (1 <= self.top_k <= VOCABULARY and 0 < self.top_p <= 1 and self.temperature > 0):
            raise UserError(
                f"sampling needs top_k from 1 to {VOCABULARY}, top_p in (0, 1] and a positive "
                f"temperature, not {self.top_k}, {self.top_p} and {self.temperature}"
            )
        if self.align not in ("off", "report", "enforce") or self.max_resamples < 0:
            raise UserError(
                "sampling needs align=off, report or enforce and max_resamples of 0 or more, not "
                f"{self.align} and {self.max_resamples}"
            )

    def draw(self, logits: Tensor, uniform: Sequence[float]) -> list[int]:
        """Draw one id a row.

        Only the ``top_k`` leave a GPU. On so few numbers plain Python is faster than numpy for some
        rows, and machine code than both.

        Args:
            logits: float [rows, 128]; minus infinity forbids an id.
            uniform: a number in [0, 1) for each row, the only randomness.
        """
        if logits.device.type == "cpu" and logits.dtype == torch.float32 and _machine_code():
            from notagen.generation.sampling_numba import sample_rows

            given = logits.contiguous().numpy(), np.asarray(uniform)
            chosen: list[int] = sample_rows(*given, self.top_k, self.top_p, self._powers).tolist()
            return chosen
        scores, ids = logits.topk(self.top_k)  # in descending order
        way = self._choose_each if len(logits) < _MANY else self._choose_all
        choices = way(scores.tolist(), uniform)
        return [own[choice] for own, choice in zip(ids.tolist(), choices, strict=True)]

    @property
    def _powers(self) -> tuple[float, float]:
        """Of probabilities, before and after the filters."""
        return (
            (1 / self.temperature, 1.0) if self.temperature_first else (1.0, 1 / self.temperature)
        )

    def _choose_all(self, scores: Sequence[Sequence[float]], uniform: Sequence[float]) -> list[int]:
        """Indices into scores that descend, [rows, top_k]."""
        before, after = self._powers
        likely = np.array(scores)
        likely = np.exp((likely - likely[:, :1]) * before)
        up_to = likely.cumsum(1)
        likely[up_to - likely >= self.top_p * up_to[:, -1:]] = 0
        up_to = (likely**after).cumsum(1)
        choices: list[int] = (up_to <= np.array(uniform)[:, None] * up_to[:, -1:]).sum(1).tolist()
        return choices

    def _choose_each(
        self, scores: Sequence[Sequence[float]], uniform: Sequence[float]
    ) -> list[int]:
        """The same, one row after another."""
        return [self._choose(own, number) for own, number in zip(scores, uniform, strict=True)]

    def _choose(self, scores: Sequence[float], uniform: float) -> int:
        before, after = self._powers
        best = scores[0]
        likely = [math.exp((score - best) * before) for score in scores]
        rest = self.top_p * sum(likely)
        kept = []
        for weight in likely:
            if rest <= 0:
                break
            rest -= weight
            kept.append(weight**after)
        rest = uniform * sum(kept)
        for index, weight in enumerate(kept):
            rest -= weight
            if rest < 0:
                return index
        return 0  # only reached by rounding


@cache
def _machine_code() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def patch_noise(seed: int, piece: int, patch: int, attempt: int) -> tuple[float, ...]:
    """The uniform numbers that draw one patch, 16 in [0, 1).

    They are a hash of the piece, of its place in it and of how often the line was begun, so that
    a piece is the same whatever others are drawn beside it, and on every machine.
    """
    place = f"{seed} {piece} {patch} {attempt}".encode("ascii")
    return tuple(word / 2**32 for word in _WORDS.unpack(blake2b(place).digest()))
