"""Types of settings with a range: ``batch_size: Count``, ``dropout: Rate``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from annotated_types import Ge, Gt, Interval, MinLen, MultipleOf

LARGEST: Final = 2**31 - 1
"""The largest number of anything: what every library below takes for an index."""

Count: TypeAlias = Annotated[int, Interval(ge=1, le=LARGEST)]
CountOrZero: TypeAlias = Annotated[int, Interval(ge=0, le=LARGEST)]
Seed: TypeAlias = Annotated[int, Interval(ge=0, le=2**32 - 1)]
Width: TypeAlias = Annotated[int, Interval(ge=64, le=2**16), MultipleOf(64)]
"""Of a transformer with an attention head per 64."""
Depth: TypeAlias = Annotated[int, Interval(ge=1, le=1000)]
"""Blocks of a transformer."""

Length: TypeAlias = Annotated[int, Interval(ge=1, le=2**20)]
"""Context of a transformer."""

Positive: TypeAlias = Annotated[float, Gt(0)]
PositiveOrZero: TypeAlias = Annotated[float, Ge(0)]
Fraction: TypeAlias = Annotated[float, Interval(ge=0, le=1)]
PositiveFraction: TypeAlias = Annotated[float, Interval(gt=0, le=1)]
Rate: TypeAlias = Annotated[float, Interval(ge=0, lt=1)]
"""Of dropout, of a running mean."""
Cosine: TypeAlias = Annotated[float, Interval(ge=-1, le=1)]

Name: TypeAlias = Annotated[str, MinLen(1)]
"""Of a file, a folder, a run: not empty."""


@dataclass(frozen=True)
class Pattern:
    """The form of a text.

    Attributes:
        expression: a regular one.
        words: to name it to a user.
    """

    expression: str
    words: str


Clock: TypeAlias = Annotated[str, Pattern(r"\d+:\d\d:\d\d:\d\d", "days:hours:minutes:seconds")]


class Object:
    """A node with a ``_target_``, whatever that makes."""
