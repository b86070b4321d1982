"""Where scores come from: files, and what is known about each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from notagen.prompt import Prompt

UNKNOWN = Prompt("", "", "")


@dataclass(frozen=True, slots=True)
class Source:
    """One score file.

    ``piece`` stays the same from machine to machine: ``bach/bwv269.mxl``. ``labels`` that are
    unknown are empty; None asks the score itself for its composer. ``split`` is empty where the
    piece's name decides.
    """

    piece: str
    path: Path
    labels: Prompt | None = UNKNOWN
    split: str = ""
    licence: str = ""  # what it asks for, where it isn't free to use
