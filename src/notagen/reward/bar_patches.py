"""Text to bar patches: the tokenizer of M3 and CLaMP 2 (arXiv 2410.13267, section 3.2).

A bar patch is 64 ASCII codes: a header line, or one voice's bar with its barline, so that an
encoder sees a piece bar by bar. Its text stands between ``BOS`` and ``EOS``, cut or filled with
``PAD`` to 64.
"""

from __future__ import annotations

import re
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from unidecode import unidecode

from notagen.notation import Tune
from notagen.patches import BOS, EOS, PAD

BAR_PATCH_SIZE: Final = 64

BarPatches = npt.NDArray[np.uint8]
"""[n, 64] character ids."""


class Task(IntEnum):
    """Training task of an encoder for a patch."""

    RESTORE = 0  # the patch may be hidden, and is then to be restored
    INTACT = 1  # to be recognised as original
    MISPLACED = 2  # to be recognised as corrupted


# A bar ends with its barline: "[V:1]C2||D|]" is "[V:1]C2||" and "D|]".
_BARLINE = re.compile(r"\|:|::|:\||\[\||\|\||\|\]|\|")
_BODY_LINE = "[V:"


def normal_form(tune: Tune) -> str:
    """Text for the encoders: one line per bar, rests written out, no comments or stream marks."""
    lines = tune.complete_rests().to_interleaved().splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("%%") or not line.startswith("%"))


def encode(text: str) -> BarPatches:
    """Bar patches of a text in :func:`normal_form`, with a start and an end patch.

    Text becomes ASCII, as in the published encoder: ``"^Più f"`` is read as ``"^Piu f"``.

    Returns:
        uint8 [n, 64].
    """
    text = unidecode(text)
    bars = [bar for line in text.splitlines(keepends=True) for bar in _split(line)]
    patches = np.full((len(bars) + 2, BAR_PATCH_SIZE), PAD, dtype=np.uint8)
    patches[0], patches[-1] = BOS, EOS
    patches[-1, 0] = BOS
    for patch, bar in zip(patches[1:-1], bars, strict=True):
        codes = bytes((BOS, *bar.encode("ascii"), EOS))[:BAR_PATCH_SIZE]
        patch[: len(codes)] = np.frombuffer(codes, dtype=np.uint8)
    return patches


def _split(line: str) -> list[str]:
    """Split a body line into bars; keep a header line whole.

    Text after the last barline (the number of an ending) is dropped and the line end kept, as in
    the published encoder.
    """
    ends = [match.end() for match in _BARLINE.finditer(line)] if line.startswith(_BODY_LINE) else []
    if not ends:
        return [line]
    bars = [line[start:end] for start, end in pairwise([0, *ends])]
    if line.endswith("\n"):
        bars[-1] += "\n"
    return bars
