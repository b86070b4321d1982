"""Text to bar patches: the tokenizer of M3 and CLaMP 2 (arXiv 2410.13267, section 3.2).

A bar patch is up to 64 ASCII codes: a header line, or one voice's bar with its barline, so that
an encoder sees a piece bar by bar. Its text stands between ``BOS`` and ``EOS``; what is longer is
cut, what is shorter is filled with ``PAD``.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from notagen.notation import Tune
from notagen.patches import BOS, EOS, PAD

BAR_PATCH_SIZE: Final = 64

BarPatches = npt.NDArray[np.uint8]
"""[n, 64] character ids."""


class Task(IntEnum):
    """What an encoder in training is to do with a patch."""

    RESTORE = 0  # it may be hidden
    INTACT = 1  # say that it is what the composer wrote there
    MISPLACED = 2  # say that it is not


_BAR = re.compile(r".*?(?:\|:|::|:\||\[\||\|\||\|\]|\|)")
_BODY_LINE = "[V:"


def normal_form(tune: Tune) -> str:
    """What the encoders read: a line a bar, rests written out, no comments, no stream marks."""
    lines = tune.complete_rests().to_interleaved().splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("%%") or not line.startswith("%"))


def encode(text: str) -> BarPatches:
    """Patches of a text in :func:`normal_form`, start and end patch included.

    Returns:
        uint8 [n, 64].

    Raises:
        ValueError: a character is not ASCII.
    """
    bars = [bar for line in text.splitlines(keepends=True) for bar in _split(line)]
    patches = np.full((len(bars) + 2, BAR_PATCH_SIZE), PAD, dtype=np.uint8)
    patches[0], patches[-1] = BOS, EOS
    patches[-1, 0] = BOS
    for patch, bar in zip(patches[1:-1], bars, strict=True):
        codes = bytes((BOS, *bar.encode("ascii"), EOS))[:BAR_PATCH_SIZE]
        patch[: len(codes)] = np.frombuffer(codes, dtype=np.uint8)
    return patches


def _split(line: str) -> list[str]:
    """A header line, or the bars of a body line.

    What stands after a body line's last barline (an ending's number) is left out and the line end
    kept, as the published encoder reads.
    """
    bars = _BAR.findall(line) if line.startswith(_BODY_LINE) else []
    if not bars:
        return [line]
    if line.endswith("\n"):
        bars[-1] += "\n"
    return bars
