"""Sampling of the next character (arXiv 2502.18008, section 4.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Interval

from notagen.errors import UserError
from notagen.patches import PATCH_SIZE, VOCABULARY
from notagen.ranges import CountOrZero, Positive, PositiveFraction

if TYPE_CHECKING:
    from torch import Tensor

_WORDS = Struct(f"<{PATCH_SIZE}I")  # the 64 bytes of a blake2b digest

Align = Literal["off", "report", "enforce"]


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling, and of resampling bars whose voices do not agree.

    The filters work on probabilities and in the published order: top-k, then top-p among the top
    k, and only then the temperature. ``top_k=1`` is greedy.

    Args:
        top_k: number of most likely characters that are kept.
        top_p: of these, the smallest set that holds this fraction of their probability is kept.
        temperature: above 1 flattens the distribution of the kept ones.
        temperature_first: apply the temperature before the filters, as most programs do.
        align: for bars whose voices do not agree: ``off``, ``report`` to count them, ``enforce`` to
            resample them until they do.
        max_resamples: resamples of a line before it is repaired by rule.

    Raises:
        UserError: (a ValueError) a setting is out of range.
    """

    top_k: Annotated[int, Interval(ge=1, le=VOCABULARY)] = 9
    top_p: PositiveFraction = 0.9
    temperature: Positive = 1.2
    temperature_first: bool = False
    align: Align = "enforce"
    max_resamples: CountOrZero = 32

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
        """Sample one id per row: float [rows, 128] -> ids, [rows].

        Args:
            logits: minus infinity forbids an id.
            uniform: a number in [0, 1) for each row, the only randomness.
        """
        noise = np.asarray(uniform)
        options = self.top_k, self.top_p, self._powers
        compiled = _compiled()
        if compiled and logits.device.type == "cpu" and str(logits.dtype) == "torch.float32":
            ids = compiled(logits.contiguous().numpy(), noise, *options)
        else:
            ids = sample_rows(logits, noise, *options)
        chosen: list[int] = ids.tolist()
        return chosen

    @property
    def _powers(self) -> tuple[float, float]:
        """Exponents of the probabilities before and after the filters."""
        return (
            (1 / self.temperature, 1.0) if self.temperature_first else (1.0, 1 / self.temperature)
        )


@cache
def _compiled() -> Callable[..., npt.NDArray[np.int64]] | None:
    """The same in machine code; None without numba. Cached, since every draw asks."""
    from notagen.model.decoding.decoder import has_numba  # torch, which settings do not need

    if not has_numba():
        return None
    from notagen.generation import sampling_numba

    return sampling_numba.sample_rows


def sample_rows(
    logits: Tensor,
    uniform: npt.NDArray[np.float64],
    top_k: int,
    top_p: float,
    powers: tuple[float, float],
) -> npt.NDArray[np.int64]:
    """Sample one id per row with top-k, top-p and temperature: [rows, 128] -> [rows].

    The reference for :func:`notagen.generation.sampling_numba.sample_rows`.

    Args:
        logits: minus infinity forbids an id.
        uniform: a number in [0, 1) for each row.
        top_k: number of most likely ids that are kept.
        top_p: of these, the smallest set that holds this fraction of their probability is kept.
        powers: exponents of the probabilities before and after the filters, 1 / temperature at one
            of the two places.
    """
    before, after = powers
    top = logits.topk(top_k)  # in descending order; only these leave a GPU
    scores = top.values.double().cpu().numpy()
    weights = np.exp((scores - scores[:, :1]) * before)
    cumulative = weights.cumsum(1)
    # An id goes if those before it hold top_p already, so the most likely one always stays.
    weights[cumulative - weights >= top_p * cumulative[:, -1:]] = 0
    cumulative = (weights**after).cumsum(1)
    # Inverse transform sampling.
    ranks = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(1)
    ids: npt.NDArray[np.int64] = top.indices.cpu().numpy()[np.arange(len(ranks)), ranks]
    return ids


def patch_noise(seed: int, piece: int, patch: int, attempt: int) -> tuple[float, ...]:
    """Uniform numbers for the characters of one patch, 16 in [0, 1).

    They are a hash of the arguments, the same in any batch and on any machine.

    Args:
        seed: of the whole run.
        piece: number of the piece.
        patch: index of the patch in the piece.
        attempt: resamples of the current line so far.
    """
    key = f"{seed} {piece} {patch} {attempt}".encode("ascii")
    return tuple(word / 2**32 for word in _WORDS.unpack(blake2b(key).digest()))
