"""Stream marks ``[r:i/n]``: how many body lines lie behind a line, and how many ahead of it."""

from __future__ import annotations

import re

MARK = re.compile(r"\[r:(\d+)/(\d+)\]")
MOST_BARS = 1000
"""A piece has at most as many; the longest pieces trained on stay below."""

_FIRST = "[r:0/"
_DIGITS = len(str(MOST_BARS - 1))


class Marks:
    """The count of a piece's body lines.

    Marks are not left to the model: the first one says how many bars follow (the model chooses
    the number where none is asked for), and each later body line begins with the mark that this
    count demands.

    Args:
        bars: how many there are to be; None leaves it to the model.

    Attributes:
        behind: body lines finished.
        last: number of the last line, None before the first mark.
    """

    def __init__(self, bars: int | None = None) -> None:
        self.behind = 0
        self.last: int | None = None if bars is None else bars - 1
        self.begun = False

    @property
    def complete(self) -> bool:
        """Whether all lines are written."""
        return self.last is not None and self.behind > self.last

    def finish(self, line: str) -> None:
        """Count a body line that is written to its end."""
        if mark := MARK.match(line):
            behind, ahead = int(mark[1]), int(mark[2])
            self.begun = True
            self.behind, self.last = behind + 1, behind + ahead

    def allowed(self, line: str) -> str | None:
        """Characters of which the next must be one, after the beginning of a body line."""
        if self.last is not None:
            mark = f"[r:{self.behind}/{self.last - self.behind}]"
            return mark[len(line)] if len(line) < len(mark) else None
        if len(line) < len(_FIRST):
            return _FIRST[len(line)]
        if "]" in line:
            return None
        digits = len(line) - len(_FIRST)
        if digits == 0:
            return "123456789"
        return "]" if digits == _DIGITS else "0123456789]"
