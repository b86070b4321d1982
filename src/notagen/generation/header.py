"""Grammar of header lines: the characters that may come next for a header to be readable.

Labels (``%Baroque``), then ``%%score``, then ``L:``, ``Q:`` and ``M:`` in any order, ``K:``, and a
``V:`` line for each voice. Lines are bounded in number and length, so that every header ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import regex  # type: ignore[import-untyped]  # matches the beginning of a text, unlike re

MAX_VOICES = 64

_MAX_LABELS = 4  # period, composer, instrumentation, and the %end of some corpora
_LABEL = r"%[ !-$&-~][ -~]{0,99}\n"
_SCORE = r"%%score [][(){}| \d]{1,400}\n"
_LINES = {
    "L": r"L:1/(?:1|2|4|8|16|32|64)\n",
    "Q": r'Q:(?:"[ !#-~]{1,60}" ?)?[1-9]\d?/(?:1|2|4|8|16|32)=[1-9]\d{1,2}(?: ?"[ !#-~]{1,60}")?\n',
    "M": r"M:(?:C\|?|none|[1-9]\d?(?:\+[1-9]\d?){0,3}/(?:1|2|4|8|16|32|64))\n",
    "K": r"K:(?:none|[A-G][#b]?(?: ?(?:maj|min|m|ion|dor|phr|lyd|mix|aeo|loc))?)\n",
}
_VOICE = r"V:(?:%s)(?: [!-~][ -~]{0,127})?\n"
_CHARACTERS = ["\n", *map(chr, range(ord(" "), ord("~") + 1))]


def allowed(header: Sequence[str], line: str) -> str | None:
    """Characters allowed next in a header; None if the line is none of the grammar's.

    Args:
        header: finished lines, without line ends.
        line: the beginning of the unfinished line.
    """
    patterns = _patterns(tuple(header))
    if line == "":
        return "".join(patterns)
    pattern = patterns.get(line[0])
    return _continuations(pattern, line) or None if pattern else None


@lru_cache(maxsize=64)
def _patterns(header: tuple[str, ...]) -> dict[str, str]:
    """Patterns of the lines that may come next, by first character; ``[`` opens the body."""
    opened = {line[:2] for line in header}
    if "K:" in opened:
        last = max((_number(line) for line in header if line.startswith("V:")), default=0)
        higher = "|".join(map(str, range(last + 1, MAX_VOICES + 1)))
        return ({"V": _VOICE % higher} if higher else {}) | {"[": ""}
    patterns = {field: line for field, line in _LINES.items() if f"{field}:" not in opened}
    labels = all(line[:1] == "%" and line[1:2] != "%" for line in header)
    if labels and len(header) < _MAX_LABELS:
        return {"%": f"{_LABEL}|{_SCORE}"} | patterns
    return ({} if "%%" in opened else {"%": _SCORE}) | patterns


def _number(line: str) -> int:
    """Number of a ``V:`` line; 0 where the voice has a name."""
    found = regex.match(r"V:(\d{1,2})\b", line)
    return int(found[1]) if found else 0


@lru_cache(maxsize=4096)
def _continuations(pattern: str, line: str) -> str:
    compiled = regex.compile(pattern)
    return "".join(c for c in _CHARACTERS if compiled.fullmatch(line + c, partial=True))
