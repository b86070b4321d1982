"""Why a piece may not be preferred, however high it scores (paper, section 3.3)."""

from __future__ import annotations

import re

from notagen.notation import Tune

_NAME = re.compile(r'\bnm="([^"]*)"')


def exclusion(tune: Tune, closest: float, most_similar: float = 0.95) -> str:
    """The first of the three published rules that a piece breaks, as a phrase; empty if none.

    Args:
        tune: the piece; rests may be left out.
        closest: cosine with the nearest real piece.
        most_similar: above it, a piece counts as a copy.
    """
    parts = tune.complete_rests().alignment()
    disagreeing = [name for name, agrees in parts._asdict().items() if not agrees]
    if disagreeing:
        return f"voices disagree in {', '.join(disagreeing).replace('_', ' ')}"
    if closest > most_similar:
        return "copy of a real piece"
    torn = scattered_instrument(tune)
    return f"staves of {torn} stand apart" if torn else ""


def scattered_instrument(tune: Tune) -> str:
    """Name of an instrument whose staves do not stand together; empty if all do.

    A voice that has no name of its own belongs to the instrument before it.
    """
    voices = (line for line in tune.header if line.startswith("V:"))
    names = [match[1] for line in voices if (match := _NAME.search(line)) and match[1]]
    for position, name in enumerate(names[1:], start=1):
        if name != names[position - 1] and name in names[:position]:
            return name
    return ""
