"""Making the voices of a body line agree by rule, where no try of the model did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import TypeVar

from notagen.generation.alignment import length, only_bar, parts
from notagen.generation.marks import MARK
from notagen.notation import Bar, bar_duration, print_length, tokens
from notagen.notation.reading import split_bars

_T = TypeVar("_T")


def repaired(line: str, voices: Sequence[str]) -> str | None:
    """A body line whose voices agree, as close to ``line`` as a simple rule gets.

    Each voice keeps its first bar. The barlines and the duration that most voices have become
    those of all: what is longer is cut, and what is then or was before shorter ends in a rest.
    A voice that can't be read, stands there again or is not declared is left out: it rests.

    Args:
        line: a whole body line, with its line end.
        voices: names the header declares, in order.

    Returns:
        The line; None when no voice can be read.
    """
    bars: dict[str, Bar] = {}
    for part in parts(line):
        readable = (bar for bar in split_bars(part.music)[:1] if length(bar))
        if part.voice in voices and part.voice not in bars:
            bars.update((part.voice, bar) for bar in readable)
    if not bars:
        return None
    duration = _most_common(length(bar) or Fraction(0) for bar in bars.values())
    left, right = _most_common((bar.left, bar.right or "|") for bar in bars.values())
    model = Bar("", right, left)
    music = "".join(
        f"[V:{voice}]{left}{_fitted(bars[voice].text, duration, model)}{right}"
        for voice in voices
        if voice in bars
    )
    mark = MARK.match(line)
    return f"{mark[0] if mark else ''}{music}\n"


def _fitted(text: str, duration: Fraction, model: Bar) -> str:
    """The longest beginning of a bar that leaves room for nothing, or for a rest.

    ``model`` has the barlines it will stand between.
    """
    if _fits(text, duration, model):
        return text
    found = tokens(text)
    for end in range(len(found), 0, -1):
        beginning = "".join(token.text for token in found[:end]).rstrip()
        missing = duration - (bar_duration(beginning) or duration)
        with_rest = f"{beginning} z{print_length(missing)}" if missing > 0 else beginning
        # A beginning that ends inside a tuplet or a broken rhythm would draw the rest into it.
        if found[end - 1].kind != "tie" and _fits(with_rest, duration, model):
            return with_rest
    return f"z{print_length(duration)}"


def _fits(text: str, duration: Fraction, model: Bar) -> bool:
    """Whether it lasts as long, and is read as that between these barlines: ``.`` joins one."""
    read = only_bar(f"{model.left}{text}{model.right}")
    return bar_duration(text) == duration and read == model._replace(text=text)


def _most_common(values: Iterable[_T]) -> _T:
    return Counter(values).most_common(1)[0][0]
