"""Whether the voices of a body line agree, asked while it is being written.

A body line is one bar of all voices, ``[r:3/4][V:1]C8|[V:2]E4 F4|``. Its voices agree when each
stands there once, in the header's order, and all bars end in the same barline and last as long.
Voices that are left out rest, and agree with anything. In patches the barline that closes a bar
opens the next one: ``[r:3/4][V:1]C8``, ``|[V:2]E4 F4|``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from notagen.generation.marks import MARK
from notagen.notation import Bar, bar_duration
from notagen.notation.reading import split_bars

_VOICE = re.compile(r"\[V:([^\]\n]*)\]")
_OPENING = "[V:"
_UNCLOSED = re.compile(r"\[(V(:[^]\n]*)?)?$")
_WHOLE_BAR_RESTS = ("Z", "X")


class Part(NamedTuple):
    """One voice of a body line: where it starts, its name, and its music up to the next voice."""

    start: int
    voice: str
    music: str


def parts(line: str) -> Iterator[Part]:
    """The voices of a body line, in the order in which they stand there."""
    found = [*_VOICE.finditer(line)]
    ends = [*(match.start() for match in found), len(line)][1:]
    for match, end in zip(found, ends, strict=True):
        yield Part(match.start(), match[1], line[match.end() : end])


def first_deviation(line: str, voices: Sequence[str]) -> int | None:
    """Where the first voice starts that does not agree with those before it; None if all agree.

    Args:
        line: a body line, or its beginning up to the last note of a bar, whose barline may be
            missing.
        voices: names the header declares, in order.

    Returns:
        An index into ``line``.
    """
    mark = MARK.match(line)
    begin = mark.end() if mark else 0
    whole = line.endswith("\n")
    written = [*parts(line)]
    before = line[begin : written[0].start if written else None]
    if before and (written or whole or not _OPENING.startswith(before[: len(_OPENING)])):
        return begin
    agreed: Bar | None = None
    first_line = mark is None or mark[1] == "0"
    expected = iter(voices)
    for part in written:
        if part.voice not in expected:  # consumes what stands before it, too
            return part.start
        growing = part is written[-1] and not whole
        music = _UNCLOSED.sub("", part.music) if growing else part.music
        if growing and not music:
            return None
        bar = only_bar(music)
        if bar is None or (bar.left and not first_line):
            return part.start
        if growing and not bar.text:
            return None
        if not _agrees(bar, agreed, growing):
            return part.start
        if agreed is None or agreed.text in _WHOLE_BAR_RESTS:
            agreed = bar
    return None


def allowed(line: str, patch: str, voices: Sequence[str], *, bar_ended: bool) -> str | None:
    """Characters of which the next must be one for voices to stand in their places; None: any.

    After the mark comes a voice, and only one that has not had its turn. The barline after each
    is that of the first. After the last voice the line ends.

    Args:
        line: the beginning of a body line.
        patch: what ``line`` holds of the unfinished patch.
        voices: names the header declares, in order.
        bar_ended: whether the patch before ended a bar, all but its barline.
    """
    body = line[mark.end() :] if (mark := MARK.match(line)) else line
    if len(body) < len(_OPENING):
        return _OPENING[len(body)]
    unclosed = body.rfind(_OPENING)
    if "]" not in body[unclosed:]:
        typed = body[unclosed + len(_OPENING) :]
        names = [f"{name}]" for name in _later_voices(body, voices)]
        following = {name[len(typed)] for name in names if name.startswith(typed)}
        return "".join(sorted(following)) or None
    if not bar_ended or "[" in patch:
        return None
    first, *others = parts(body)
    bar = only_bar(first.music)
    if not others or bar is None or len(patch) > len(bar.right):
        return None
    if len(patch) < len(bar.right):
        return bar.right[len(patch)]
    return "[\n" if _later_voices(body, voices) else "\n"


def _later_voices(line: str, voices: Sequence[str]) -> Sequence[str]:
    used = [voices.index(part.voice) for part in parts(line) if part.voice in voices]
    return voices[max(used, default=-1) + 1 :]


@lru_cache(maxsize=4096)
def only_bar(music: str) -> Bar | None:
    """The bar that a voice's part of a line is; None when it is none or several."""
    bars = split_bars(music)
    return bars[0] if len(bars) == 1 and not MARK.search(music) else None


def length(bar: Bar) -> Fraction | None:
    """How long a bar lasts in units of ``L:``; None where it can't be told or is nothing."""
    return bar_duration(bar.text) or None


def _agrees(bar: Bar, agreed: Bar | None, growing: bool) -> bool:
    duration = length(bar)
    if not (bar.right or growing) or (duration is None and bar.text not in _WHOLE_BAR_RESTS):
        return False
    if agreed is None:
        return True
    if None not in (duration, length(agreed)) and duration != length(agreed):
        return False
    right = bar.right == agreed.right or (growing and agreed.right.startswith(bar.right))
    return bar.left == agreed.left and right
