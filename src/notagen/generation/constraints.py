"""Constraints on the next character: form, ``%%score``, stream marks.

Header lines come in the order ``%%score``, ``L:``, ``Q:``, ``M:``, ``K:``, ``V:``. The model
generates the header character by character; where the form sets a line, no character is allowed
that would skip the line or change it. All ``allowed`` functions return the characters that may
come next, or None for any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from notagen.errors import UserError
from notagen.generation.header import MAX_VOICES
from notagen.notation import NotationError, parse_key
from notagen.notation.parser import STREAM_MARK, STREAM_MARK_START, stream_mark

_ORDER = "%LQMKV["  # first characters of header lines, in order; the body begins with [
_METRE = re.compile(r"[1-9]\d?/(1|2|4|8|16|32)|C\|?|none")
_TEMPO = re.compile(r"(?P<beat>[1-9]\d?/(?:1|2|4|8|16|32))=(?P<number>[1-9]\d{0,3})")
_SLOWEST, _FASTEST = 10, 600  # quarter notes per minute
_NAME = re.compile(r'[^"\n\\%]+')
_VOICE_PATCHES = 3  # of a V: line with its name
_CLEFS = ("treble", "treble-8", "treble+8", "alto", "tenor", "bass", "bass-8", "perc")

_GROUP_OPENING = "%%score "
_GROUP_CLOSING = {"[": "]", "{": "}", "(": ")"}
_MAX_DEPTH = 3  # of nested groups

MAX_BARS = 1000
"""Maximum number of bars of a piece; the longest pieces of the corpora have fewer."""

_FIRST = f"{STREAM_MARK_START}0/"  # the first stream mark; the number of bars after it follows
_DIGITS = len(str(MAX_BARS - 1))


@dataclass(frozen=True)
class Form:
    """Constraints on the form of a piece; None leaves a property to the model.

    Lines of the prompt stay as they are.

    Args:
        bars: number of bars, 1 to 1000.
        metre: value of ``M:``, for example ``3/4`` or ``C``.
        key: value of ``K:``, for example ``G`` or ``Dmin``.
        tempo: quarter notes per minute, or value of ``Q:``, for example ``3/8=60``.
        voices: number of voices, or the name of each; the model chooses groups and clefs, and the
            names if there are none.

    Raises:
        UserError: a value is impossible.
    """

    bars: int | None = None
    metre: str | None = None
    key: str | None = None
    tempo: str | int | None = None
    voices: int | str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.bars is not None and self.bars not in range(1, MAX_BARS + 1):
            raise UserError(f"form.bars must be from 1 to {MAX_BARS}, not {self.bars}")
        if self.metre is not None and not _METRE.fullmatch(str(self.metre)):
            raise UserError(f"form.metre must be like 3/4, C, C| or none, not {self.metre}")
        if self.key is not None:
            # `object.__setattr__` since the dataclass is frozen.
            object.__setattr__(self, "key", _key(str(self.key)))
        if isinstance(self.tempo, int):
            object.__setattr__(self, "tempo", f"1/4={self.tempo}")
        if self.tempo is not None and not _is_tempo(str(self.tempo)):
            raise UserError(
                f"form.tempo must be like 96 or 3/8=60, from {_SLOWEST} to {_FASTEST} quarter "
                f"notes per minute, not {self.tempo}"
            )
        if isinstance(self.voices, str):
            object.__setattr__(self, "voices", (self.voices,))
        names = self.voices if isinstance(self.voices, Sequence) else ()
        count = len(names) if isinstance(self.voices, Sequence) else self.voices
        if count is not None and count not in range(1, MAX_VOICES + 1):
            raise UserError(f"form.voices must be from 1 to {MAX_VOICES}, not {count}")
        for name in names:
            if not (isinstance(name, str) and name.isascii() and _NAME.fullmatch(name)):
                raise UserError(f"form.voices must be plain names without quotes, not {name!r}")

    def check_length(self, context: int) -> None:
        """Check that a model's context, in patches, holds a header of so many voices.

        Raises:
            UserError: it has no room for them.
        """
        room = context // 2 // _VOICE_PATCHES  # a header keeps half of the context at most
        if self._voice_count > room:
            raise UserError(
                f"form.voices={self._voice_count} is more than this model can read; its context of "
                f"{context} patches has room for {room} voices"
            )

    def allowed(self, header: Sequence[str], line: str) -> str | None:
        """Characters allowed next in the header.

        Args:
            header: finished lines, without line ends.
            line: the beginning of the unfinished header line.
        """
        if line == "":
            return self._openings(header)
        if line[0] in self._required_lines:
            return self._required_lines[line[0]][len(line)]
        if self._voice_count and line.startswith("%%"):
            return allowed_in_score_line(line, self._voice_count)
        number = 1 + _count(header, "V")
        if line[0] == "V" and number <= self._voice_count:
            return self._in_voice_line(line, number)
        return None

    def _openings(self, header: Sequence[str]) -> str | None:
        """First characters allowed in the next line: up to the next line that the form requires.

        After ``L:1/8``, if the metre is missing: ``QM``.
        """
        last = next((line[0] for line in reversed(header) if line), "%")
        required = [field for field in _ORDER if self._is_missing(field, header)]
        if not required or last not in _ORDER:
            return None
        # The one field that may follow a line of its own kind; all others come once.
        repeatable = required[0] if self._voice_count else "%"
        start = _ORDER.index(last) + (last != repeatable)
        return _ORDER[start : _ORDER.index(required[0]) + 1] or None

    def _is_missing(self, field: str, header: Sequence[str]) -> bool:
        if field in self._required_lines:
            return _count(header, field) == 0
        if self._voice_count and field == "%":
            return _count(header, "%%score") == 0
        if self._voice_count and field == "V":
            return _count(header, "V") < self._voice_count
        return bool(self._voice_count) and field == "["

    def _in_voice_line(self, line: str, number: int) -> str | None:
        opening = f"V:{number} "
        if len(line) < len(opening):
            return opening[len(line)]
        clef, space, rest = line[len(opening) :].partition(" ")
        if not space:
            return "".join(_continuations(clef)) or None
        if isinstance(self.voices, int) or self.voices is None:
            return None
        return f'nm="{self.voices[number - 1]}"\n'[len(rest)]

    @cached_property
    def _required_lines(self) -> dict[str, str]:
        fields = {"Q": self.tempo, "M": self.metre, "K": self.key}
        return {name: f"{name}:{value}\n" for name, value in fields.items() if value is not None}

    @cached_property
    def _voice_count(self) -> int:
        return self.voices if isinstance(self.voices, int) else len(self.voices or ())


def _key(name: str) -> str:
    """A key as corpora write it, ``Dmin`` for ``D minor``."""
    try:
        key = parse_key(name)
    except NotationError:
        key = None
    if key is None or not key.tonic or key.rest or key.accidentals or abs(key.fifths) > 7:
        raise UserError(f"form.key must be like G, Bb or F#min, not {name}")
    mode = key.mode.strip().lower()[:3]
    return key.tonic + {"maj": "", "m": "min"}.get(mode, mode)


def _is_tempo(value: str) -> bool:
    match = _TEMPO.fullmatch(value)
    if match is None:
        return False
    return _SLOWEST <= Fraction(match["beat"]) * 4 * int(match["number"]) <= _FASTEST


def _continuations(clef: str) -> set[str]:
    return {(known + " ")[len(clef)] for known in _CLEFS if (known + " ").startswith(clef)}


def _count(header: Sequence[str], opening: str) -> int:
    return sum(line.startswith(opening) for line in header)


def allowed_in_score_line(line: str, voices: int) -> str | None:
    """Characters allowed next in a line such as ``%%score { 1 | 2 }``, after its beginning."""
    if len(line) < len(_GROUP_OPENING):
        return _GROUP_OPENING[len(line)]
    *words, typed = line[len(_GROUP_OPENING) :].split(" ")
    fitting = [word for word in _next_words(words, voices) if word.startswith(typed)]
    if typed in fitting:
        return " " if _next_words([*words, typed], voices) else "\n"
    return "".join(word[len(typed)] for word in fitting) or None


def _next_words(words: Sequence[str], voices: int) -> list[str]:
    """Words allowed next; none if all voices are named and all brackets closed."""
    unclosed: list[str] = []
    for word in words:
        if word in _GROUP_CLOSING:
            unclosed.append(_GROUP_CLOSING[word])
        elif word in _GROUP_CLOSING.values() and unclosed:
            unclosed.pop()
    after_voice = bool(words) and words[-1] not in (*_GROUP_CLOSING, "|")
    choices = unclosed[-1:] if after_voice else []
    named = sum(word.isdigit() for word in words)
    if named < voices:
        choices += [str(named + 1), *(["|"] if after_voice else [])]
        choices += _GROUP_CLOSING if len(unclosed) < _MAX_DEPTH else ()
    return choices


class StreamMarks:
    """The stream marks ``[r:i/n]`` of a piece's body lines: i bars before the line, n after it.

    The model chooses the first mark at most, ``[r:0/n]``, which determines all others.

    Args:
        bars: number of bars; None leaves it to the model.

    Attributes:
        finished: number of finished body lines.
        last: index of the last body line; None while it is unknown.
        begun: whether a line with a mark is finished.
    """

    def __init__(self, bars: int | None = None) -> None:
        self.finished = 0
        self.last: int | None = None if bars is None else bars - 1
        self.begun = False

    @property
    def complete(self) -> bool:
        """True if the last line is finished."""
        return self.last is not None and self.finished > self.last

    def finish(self, line: str) -> None:
        """Count a finished body line."""
        if mark := STREAM_MARK.match(line):
            before, after = int(mark[1]), int(mark[2])
            self.begun = True
            self.finished, self.last = before + 1, before + after

    def allowed(self, line: str) -> str | None:
        """Characters allowed next in a body line, after its beginning."""
        if self.last is not None:
            mark = stream_mark(self.finished, self.last - self.finished)
            return mark[len(line)] if len(line) < len(mark) else None
        if len(line) < len(_FIRST):
            return _FIRST[len(line)]
        if "]" in line:
            return None
        digits = len(line) - len(_FIRST)
        if digits == 0:
            return "123456789"
        return "]" if digits == _DIGITS else "0123456789]"
