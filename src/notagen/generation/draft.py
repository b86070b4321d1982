"""A piece while it is being written."""

from __future__ import annotations

import re
from enum import Enum

import numpy as np

from notagen.patches import Patches, decode, encode_prompt, line_starts

_MARK = "[r:"
_FIRST_MARK = "[r:0/"
_WHOLE_MARK = re.compile(r"\[r:(\d+)/(\d+)\]")
_DIGITS = 3  # of a piece's number of bars: the longest pieces trained on stay below 1000


class Ending(Enum):
    """How a piece ended."""

    COMPLETE = "complete"  # after as many bars as its first stream mark announced
    TOO_LONG = "too long"  # stopped at the limit of patches


class Draft:
    """What stands of a piece, and what may come next.

    Stream marks are not left to the model: the first one says how many bars follow (the model
    chooses the number), and each later body line begins with the mark that count demands. After
    the last bar the piece ends.

    Args:
        prompt: the beginning of the piece, as in :func:`notagen.patches.encode_prompt`.
        most_patches: where to stop a piece that does not end.

    Attributes:
        ending: how the piece ended, None while it is being written.
        patches: finished patches [16] in order.
    """

    def __init__(self, prompt: str, most_patches: int) -> None:
        finished, unfinished = encode_prompt(prompt)
        self.patches: list[Patches] = list(finished)
        self.most_patches = most_patches
        self.ending: Ending | None = None
        self.line, self.last_line = _place(prompt)
        self.at_line_start = len(unfinished) == 0 and (prompt == "" or prompt.endswith("\n"))
        self.required = bytes(unfinished).decode("ascii")
        if self.at_line_start:
            self._require_mark()

    @property
    def text(self) -> str:
        """All that is written, stream marks included."""
        return decode(np.array(self.patches))

    def allowed(self, written: str) -> str | None:
        """Characters of which the next must be one, after ``written`` in this patch; None: any."""
        if self.line is None and self.at_line_start and written == "[":
            self.required = _FIRST_MARK
        if len(written) < len(self.required):
            return self.required[len(written)]
        if self.last_line is None and self.required == _FIRST_MARK and "]" not in written:
            digits = len(written) - len(self.required)
            if digits == 0:
                return "123456789"
            return "]" if digits == _DIGITS else "0123456789]"
        return None

    def add(self, ids: Patches) -> None:
        """Append a finished patch, uint8 [16]."""
        self.patches.append(ids)
        written = decode(ids)
        if self.line is None and self.at_line_start and written.startswith(_MARK):
            self.line = 0
            self.last_line = int(written[len(_FIRST_MARK) : written.index("]")])
        self.at_line_start = written.endswith("\n")
        self.required = ""
        if self.at_line_start and self.line is not None:
            self.line += 1
            self._require_mark()
        if self.ending is None and len(self.patches) >= self.most_patches:
            self.ending = Ending.TOO_LONG

    def context(self, length: int) -> Patches:
        """What the model goes on from, fewer than ``length`` patches [n, 16].

        All that is written, or, once that is too long, the header and the last half of the body
        lines (and of a body that is a single line, its end).
        """
        patches = np.array(self.patches)
        if len(patches) < length:
            return patches
        starts = line_starts(patches)
        header = patches[: starts[0]] if len(starts) else patches[:1]
        for start in starts[len(starts) // 2 :]:
            if len(header) + len(patches) - start < length:
                return np.concatenate([header, patches[start:]])
        return np.concatenate([header, patches[-(length - len(header)) // 2 :]])

    def _require_mark(self) -> None:
        if self.line is None or self.last_line is None:
            return
        if self.line > self.last_line:
            self.ending = Ending.COMPLETE
        else:
            self.required = f"{_MARK}{self.line}/{self.last_line - self.line}]"


def _place(prompt: str) -> tuple[int | None, int | None]:
    """The body line that comes next or is unfinished, and the last one; None in the header."""
    marks = _WHOLE_MARK.findall(prompt)
    if not marks:
        return None, None
    behind, ahead = map(int, marks[-1])
    return behind + prompt.endswith("\n"), behind + ahead
