"""A ``%%score`` line of so many voices, whose groups the model chooses.

``%%score { 1 | 2 } [ 3 | 4 ]`` names every voice once, in order, inside brackets that close.
"""

from __future__ import annotations

from collections.abc import Sequence

_OPENING = "%%score "
_CLOSING = {"[": "]", "{": "}", "(": ")"}
_DEEPEST = 3


def allowed(line: str, voices: int) -> str | None:
    """Characters of which the next must be one, after the beginning of the line; None: any."""
    if len(line) < len(_OPENING):
        return _OPENING[len(line)]
    *words, typed = line[len(_OPENING) :].split(" ")
    fitting = [word for word in _next_words(words, voices) if word.startswith(typed)]
    if typed in fitting:
        return " " if _next_words([*words, typed], voices) else "\n"
    return "".join(word[len(typed)] for word in fitting) or None


def _next_words(words: Sequence[str], voices: int) -> list[str]:
    """What may follow; nothing where all voices are named and all brackets closed."""
    unclosed: list[str] = []
    for word in words:
        if word in _CLOSING:
            unclosed.append(_CLOSING[word])
        elif word in _CLOSING.values() and unclosed:
            unclosed.pop()
    after_voice = bool(words) and words[-1] not in (*_CLOSING, "|")
    choices = unclosed[-1:] if after_voice else []
    named = sum(word.isdigit() for word in words)
    if named < voices:
        choices += [str(named + 1), *(["|"] if after_voice else [])]
        choices += _CLOSING if len(unclosed) < _DEEPEST else ()
    return choices
