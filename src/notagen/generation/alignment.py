"""Alignment of voices: checked while a line is generated, and repaired by rule.

A body line is one bar of all voices, ``[r:3/4][V:1]C8|[V:2]E4 F4|``. Its voices agree if each
occurs once, in the header's order, and all bars have the same barlines and duration. Voices that
are left out rest, and agree with anything. In patches the barline that closes a bar
opens the next one: ``[r:3/4][V:1]C8``, ``|[V:2]E4 F4|``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeVar

from notagen.notation import Bar, NotationError, bar_duration, print_length, tokens
from notagen.notation.parser import STREAM_MARK, split_bars

_VOICE = re.compile(r"\[V:([^][\n]*)\]")
_OPENING = "[V:"
_UNCLOSED = re.compile(r"\[(V(:[^][\n]*)?)?$")  # "[", "[V" or "[V:1" at the end of a line
_LONGEST_BARLINE = 3  # :|2
_IN_BARLINES = "|:]12345"  # characters that make a barline longer, of endings up to the fifth
_WHOLE_BAR_RESTS = ("Z", "X")  # visible and invisible; they agree with a bar of any duration

_T = TypeVar("_T")


class Part(NamedTuple):
    """One voice of a body line: index of its start, name, and music up to the next voice."""

    start: int
    voice: str
    music: str


def parts(line: str) -> Iterator[Part]:
    """Split a body line into its voices, in order."""
    found = [*_VOICE.finditer(line)]
    ends = [*(match.start() for match in found), len(line)][1:]
    for match, end in zip(found, ends, strict=True):
        yield Part(match.start(), match[1], line[match.end() : end])


def first_deviation(line: str, voices: Sequence[str]) -> int | None:
    """Index of the first voice that does not agree with those before it; None if all agree.

    ``[V:1]C8|[V:2]C7|[V:3]C8|`` deviates at ``[V:2]``.

    Args:
        line: a body line, or its beginning up to the last note of a bar, whose barline may be
            missing.
        voices: names that the header declares, in order.

    Returns:
        Index in ``line`` of the voice's ``[V:``.
    """
    mark = STREAM_MARK.match(line)
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
        if part.voice not in expected:  # `in` consumes the iterator up to this voice
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
    """Characters allowed next for the voices of a line to be in order; None: any.

    After the stream mark comes a voice, always one that is later in the header than those before.
    All voices get the barline of the first. After the last voice the line ends; where it is the
    only one, after the barline that it has chosen.

    Args:
        line: the beginning of a body line.
        patch: the part of ``line`` that is in the unfinished patch.
        voices: names that the header declares, in order.
        bar_ended: whether the patch before ended a bar, except for its barline.
    """
    body = line[mark.end() :] if (mark := STREAM_MARK.match(line)) else line
    if len(body) < len(_OPENING):
        return _OPENING[len(body)]
    unclosed = body.rfind(_OPENING)
    if "]" not in body[unclosed:]:
        typed = body[unclosed + len(_OPENING) :]
        names = [f"{name}]" for name in _later_voices(body, voices)]
        following = {name[len(typed)] for name in names if name.startswith(typed)}
        return "".join(sorted(following)) or None
    first, *others = parts(body)
    if not (others or _later_voices(body, voices)):
        return _allowed_in_solo(first.music, bar_ended=bar_ended and not patch)
    if not bar_ended or "[" in patch:
        return None
    bar = only_bar(first.music)
    if not others or bar is None or len(patch) > len(bar.right):
        return None
    if len(patch) < len(bar.right):
        return bar.right[len(patch)]
    return "[\n" if _later_voices(body, voices) else "\n"


def _allowed_in_solo(music: str, *, bar_ended: bool) -> str | None:
    """Characters allowed next in the bar of a line's only voice: none behind its barline."""
    if bar_ended:
        return "|:"
    bar = only_bar(music)
    if bar is None or not bar.right:
        return None
    if len(bar.right) == _LONGEST_BARLINE or bar.right[-1].isdigit():
        return "\n"
    longer = (only_bar(music + character) for character in _IN_BARLINES)
    rights = [one.right for one in longer if one is not None and one.text == bar.text]
    return "\n" + "".join(right[-1] for right in rights if right[:-1] == bar.right)


def _later_voices(line: str, voices: Sequence[str]) -> Sequence[str]:
    used = [voices.index(part.voice) for part in parts(line) if part.voice in voices]
    return voices[max(used, default=-1) + 1 :]


@lru_cache(maxsize=4096)
def only_bar(music: str) -> Bar | None:
    """Parse a voice's part of a line as one bar; None if it is none or several."""
    bars = _bars(music)
    return bars[0] if len(bars) == 1 and not STREAM_MARK.search(music) else None


def _bars(music: str) -> list[Bar]:
    """Cut a voice's music into bars; none where it has more than any piece."""
    try:
        return split_bars(music)
    except NotationError:
        return []


def length(bar: Bar) -> Fraction | None:
    """Duration of a bar in units of ``L:``; None if it is zero or cannot be determined."""
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


def repaired(line: str, voices: Sequence[str]) -> str | None:
    """Repair a body line by rule, so that its voices agree.

    Each voice keeps its first bar. All get the most common barlines and duration: longer bars are
    cut, and bars that are too short, or are after the cut, end in a rest. A voice that is
    unreadable, repeated or undeclared is left out, and so rests.

    Args:
        line: a whole body line, with its line end.
        voices: names that the header declares, in order.

    Returns:
        The repaired line; None if no voice is readable.
    """
    bars: dict[str, Bar] = {}
    for part in parts(line):
        readable = (bar for bar in _bars(part.music)[:1] if length(bar))
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
    mark = STREAM_MARK.match(line)
    return f"{mark[0] if mark else ''}{music}\n"


def _fitted(text: str, duration: Fraction, model: Bar) -> str:
    """Longest beginning of a bar that fits a duration, alone or with a rest at its end.

    ``model`` has the barlines of the new bar.
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
    """Check a bar's duration, and that it parses between these barlines.

    A ``.`` at its end would not: ``.|`` is a barline.
    """
    read = only_bar(f"{model.left}{text}{model.right}")
    return bar_duration(text) == duration and read == model._replace(text=text)


def _most_common(values: Iterable[_T]) -> _T:
    return Counter(values).most_common(1)[0][0]
