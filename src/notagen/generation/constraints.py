"""Constraints on the next character: form, ``%%score``, stream marks.

Header lines come in the order ``%%score``, ``L:``, ``Q:``, ``M:``, ``K:``, ``V:``. The model
writes its header character by character; where a line is asked for, no character is allowed that
would pass it by or make it another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from notagen.errors import UserError
from notagen.notation import NotationError, parse_key
from notagen.notation.parser import STREAM_MARK, STREAM_MARK_START, stream_mark

_ORDER = "%LQMKV["
_METRE = re.compile(r"[1-9]\d?/(1|2|4|8|16|32)|C\|?|none")
_TEMPO = re.compile(r"[1-9]\d*/[1-9]\d*=[1-9]\d*")
_NAME = re.compile(r'[^"\n\\%]+')
_MAX_VOICES = 64
_CLEFS = ("treble", "treble-8", "treble+8", "alto", "tenor", "bass", "bass-8", "perc")

_GROUP_OPENING = "%%score "
_GROUP_CLOSING = {"[": "]", "{": "}", "(": ")"}
_DEEPEST = 3

MAX_BARS = 1000
"""A piece has at most as many; the longest pieces trained on stay below."""

_FIRST = f"{STREAM_MARK_START}0/"
_DIGITS = len(str(MAX_BARS - 1))


@dataclass(frozen=True)
class Form:
    """What a piece is to be; None leaves it to the model.

    Lines that a prompt already holds stay as they are.

    Args:
        bars: how many, 1 to 1000.
        metre: as after ``M:``: ``3/4``, ``C``.
        key: as after ``K:``: ``G``, ``Dmin``.
        tempo: quarter notes a minute, or as after ``Q:``: ``3/8=60``.
        voices: how many, or the name of each; the model chooses groups and clefs, and names where
            none are given.

    Raises:
        UserError: no piece can be so.
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
        if self.key is not None and not _is_key(str(self.key)):
            raise UserError(f"form.key must be like G, Bb or F#min, not {self.key}")
        if isinstance(self.tempo, int):
            object.__setattr__(self, "tempo", f"1/4={self.tempo}")
        if self.tempo is not None and not _TEMPO.fullmatch(str(self.tempo)):
            raise UserError(f"form.tempo must be like 96 or 3/8=60, not {self.tempo}")
        if isinstance(self.voices, str):
            object.__setattr__(self, "voices", (self.voices,))
        names = self.voices if isinstance(self.voices, Sequence) else ()
        count = len(names) if isinstance(self.voices, Sequence) else self.voices
        if count is not None and count not in range(1, _MAX_VOICES + 1):
            raise UserError(f"form.voices must be from 1 to {_MAX_VOICES}, not {count}")
        for name in names:
            if not (isinstance(name, str) and name.isascii() and _NAME.fullmatch(name)):
                raise UserError(f"form.voices must be plain names without quotes, not {name!r}")

    def allowed(self, header: Sequence[str], line: str) -> str | None:
        """Characters of which the next must be one; None: any.

        Args:
            header: the lines before, without line ends.
            line: the beginning of the header line that is being written.
        """
        if line == "":
            return self._openings(header)
        if line[0] in self._asked_lines:
            return self._asked_lines[line[0]][len(line)]
        if self._voice_count and line.startswith("%%"):
            return allowed_in_score_line(line, self._voice_count)
        number = 1 + _count(header, "V")
        if line[0] == "V" and number <= self._voice_count:
            return self._in_voice_line(line, number)
        return None

    def _openings(self, header: Sequence[str]) -> str | None:
        """How the next line may begin: as what comes up to the next line that is asked for."""
        last = next((line[0] for line in reversed(header) if line), "%")
        asked = [field for field in _ORDER if self._is_missing(field, header)]
        if not asked or last not in _ORDER:
            return None
        again = asked[0] if self._voice_count else "%"
        place = _ORDER.index(last) + (last != again)
        return _ORDER[place : _ORDER.index(asked[0]) + 1] or None

    def _is_missing(self, field: str, header: Sequence[str]) -> bool:
        if field in self._asked_lines:
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
    def _asked_lines(self) -> dict[str, str]:
        fields = {"Q": self.tempo, "M": self.metre, "K": self.key}
        return {name: f"{name}:{value}\n" for name, value in fields.items() if value is not None}

    @cached_property
    def _voice_count(self) -> int:
        return self.voices if isinstance(self.voices, int) else len(self.voices or ())


def _is_key(name: str) -> bool:
    try:
        key = parse_key(name)
    except NotationError:
        return False
    return key is not None and name != "" and name.isascii() and "\n" not in name


def _continuations(clef: str) -> set[str]:
    return {(known + " ")[len(clef)] for known in _CLEFS if (known + " ").startswith(clef)}


def _count(header: Sequence[str], opening: str) -> int:
    return sum(line.startswith(opening) for line in header)


def allowed_in_score_line(line: str, voices: int) -> str | None:
    """Characters of which the next must be one, after the beginning of the line; None: any."""
    if len(line) < len(_GROUP_OPENING):
        return _GROUP_OPENING[len(line)]
    *words, typed = line[len(_GROUP_OPENING) :].split(" ")
    fitting = [word for word in _next_words(words, voices) if word.startswith(typed)]
    if typed in fitting:
        return " " if _next_words([*words, typed], voices) else "\n"
    return "".join(word[len(typed)] for word in fitting) or None


def _next_words(words: Sequence[str], voices: int) -> list[str]:
    """What may follow; nothing where all voices are named and all brackets closed."""
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
        choices += _GROUP_CLOSING if len(unclosed) < _DEEPEST else ()
    return choices


class StreamMarks:
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
        if mark := STREAM_MARK.match(line):
            behind, ahead = int(mark[1]), int(mark[2])
            self.begun = True
            self.behind, self.last = behind + 1, behind + ahead

    def allowed(self, line: str) -> str | None:
        """Characters of which the next must be one, after the beginning of a body line."""
        if self.last is not None:
            mark = stream_mark(self.behind, self.last - self.behind)
            return mark[len(line)] if len(line) < len(mark) else None
        if len(line) < len(_FIRST):
            return _FIRST[len(line)]
        if "]" in line:
            return None
        digits = len(line) - len(_FIRST)
        if digits == 0:
            return "123456789"
        return "]" if digits == _DIGITS else "0123456789]"
