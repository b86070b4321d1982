"""ABC tunebooks: cut into tunes, and written alike where people write in several ways.

Follows the ABC standard 2.1, and what older versions and other programs allow. The parser of
:mod:`notagen.notation` reads what comes out: music without text in between, tuplets with all three
numbers where the metre decides, decorations between exclamation marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from notagen.errors import NotationError, ScoreError
from notagen.notation.bars import DECORATION, QUOTED
from notagen.notation.keys import parse_key
from notagen.notation.parser import BODY_FIELD
from notagen.scores.marks import DYNAMICS

_FIELD = re.compile(r"(?P<letter>[A-Za-z]):")
_TUNE_START = re.compile(r"^X:", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
# `K:D % two sharps`: a comment behind a field
_COMMENT = re.compile(r"^([A-Za-z]:[^%\n]*+)%.*$", re.MULTILINE)
_CONTINUATION = re.compile(r"V:|\[V:|%%")  # more of a tune after a blank line

# %%begintext .. %%endtext, also ps, svg, js: of other programs; one without an end ends at a tune
_BLOCK = re.compile(
    r"""^%%[ \t]*begin(\w+)\b(?:(?:(?!^%%[ \t]*begin).)*?^%%[ \t]*end\1\b[^\n]*(?:\n|\Z)
    |.*?(?:(?=^X:)|\Z))""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_CONTINUED = re.compile(r"\+:[ \t]*")  # a line that continues the field before it

_COMPOUND = re.compile(r"(?:6|9|12)/\d+")  # metres in which (5 (7 (9 are in the time of 3
_MUSIC = re.compile(
    rf"""(?P<quoted>{QUOTED})
    |(?P<comment>(?<!\\)%.*)
    |\[(?P<field>[A-Za-z]):(?P<value>[^][\n]*)\]
    |(?P<line_end>!(?=[^!\s|]*+\|[^!\s]*+!)|(?<!\S)!(?!\S))
    |(?P<decoration>{DECORATION})
    |\+(?P<plus>[^+\s|"]+)\+
    |\((?P<p>[579])(?:::?(?P<r>\d*))?(?![\d:])
    |(?P<quarter_tone>(?:\^{{1,3}}|_{{1,3}})(?:\d{{1,3}})?/\d{{0,3}}[A-Ga-g])
    |(?P<symbol>[H-Wh-w~])""",
    re.VERBOSE,
)
_SYMBOL = re.compile(rf"([H-Wh-w~])\s*=\s*({DECORATION}|\+[^+\s]+\+|{QUOTED})")
_CHORD = re.compile(r"(?:(?:\^{1,2}|_{1,2}|=)?[A-Ga-g][,']*[\d/]*-?)+")


def split_tunes(text: str) -> Iterator[str]:
    """Yield the tunes of an ABC text, each with the fields that it inherits from the file's header.

    A text without ``X:`` is one tune. A tune ends with a blank line, except one within its header
    or before the music of another voice. Words between tunes, blocks of text, and comments behind
    fields, are left out; fields of several lines become one.
    """
    text = _BLOCK.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = _COMMENT.sub(lambda match: match[1].rstrip(), _joined(text))
    starts = [match.start() for match in _TUNE_START.finditer(text)]
    if not starts:
        yield text
        return
    shared = [line for line in text[: starts[0]].split("\n") if _FIELD.match(line)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield _with_fields(shared, _without_words(text[start:end]))


def decoded(content: bytes) -> str:
    """Decode UTF-8, else Latin-1, the encoding of ABC before version 2.1.

    Raises:
        ScoreError: (a ValueError) the bytes are no text.
    """
    if b"\0" in content:
        raise ScoreError("the file is binary, not ABC.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _joined(text: str) -> str:
    """Join ``+:`` lines to the field they continue; without a field before them, they go."""
    if "\n+:" not in text:
        return text
    lines: list[str] = []
    for line in text.split("\n"):
        continued = _CONTINUED.match(line)
        if continued is None:
            lines.append(line)
        elif lines and _FIELD.match(lines[-1]):
            lines[-1] += " " + line[continued.end() :]
    return "\n".join(lines)


def _without_words(text: str) -> str:
    """Drop the words that follow a tune after a blank line."""
    first, *sections = _BLANK_LINE.split(text)
    kept, with_key = [first], "\nK:" in first
    for section in sections:
        if with_key and not _CONTINUATION.match(section):
            break
        kept.append(section)
        with_key = with_key or "\nK:" in f"\n{section}"
    return "\n".join(kept)


def _with_fields(shared: Sequence[str], tune: str) -> str:
    """Insert shared fields below the tune's number, except those that the tune has itself."""
    number, *lines = tune.split("\n")
    own = {match["letter"] for line in lines if (match := _FIELD.match(line))}
    inherited = (line for line in shared if line[0] not in own)
    return "\n".join((number, *inherited, *lines))


def plain(tune: str) -> str:
    """Write a tune as the parser reads it; the notes stay, and so does what is plain already.

    Header: lines that are no fields go, and of several ``K: M: L: Q:`` the last counts. Music:
    ``+fermata+`` becomes ``!fermata!``, ``+CEG+`` a chord, symbols that ``U:`` defines what they
    stand for, ``(5`` in compound metre ``(5:3:5``; ``!`` that ends a line goes.

    Raises:
        ScoreError: (a ValueError) it has quarter tones, for which there are no signs.
    """
    lines = tune.split("\n")
    start = _music_start(lines)
    header = _last_of_each(_fields(lines[:start]) if start < len(lines) else lines)
    music = _Music()
    return "\n".join([*map(music.header_line, header), *map(music.line, lines[start:])])


def for_music21(tune: str) -> str:
    """A plain tune as music21 10.5 reads it.

    Without a version it forgets an accidental after the note it stands before. The decorations
    ``J W j p q`` it reads as notes, and instead of a note ``H``.
    """
    lines = tune.split("\n")
    start = _music_start(lines)
    music = [
        line if line.startswith("%") or BODY_FIELD.match(line) else _MUSIC.sub(_known, line)
        for line in lines[start:]
    ]
    return "\n".join(["%abc-2.1", *lines[:start], *music])


def _known(match: re.Match[str]) -> str:
    symbol = match["symbol"] or ""
    return "!fermata!" if symbol == "H" else match[0].strip("JWjpq") if symbol else match[0]


def _music_start(lines: Sequence[str]) -> int:
    """Index of the first line after ``K:`` that is no field, directive or blank."""
    key = next((i for i, line in enumerate(lines) if line.startswith("K:")), len(lines))
    for index in range(key, len(lines)):
        line = lines[index]
        if line.strip() and not line.startswith("%") and not BODY_FIELD.match(line):
            return index
    return len(lines)


def _fields(header: Sequence[str]) -> list[str]:
    """Drop lines of text, as there may be after ``H:``: music begins after ``K:`` only."""
    return [line for line in header if _FIELD.match(line) or line.startswith(("%", "[V:", "[r:"))]


def _last_of_each(header: Sequence[str]) -> list[str]:
    """Keep the last ``K: M: L: Q:`` before the first voice that is opened after ``K:``."""
    last: dict[str, int] = {}
    earlier: set[int] = set()
    for index, line in enumerate(header):
        if line.startswith("V:") and "K" in last:
            break
        if line[:2] in ("K:", "M:", "L:", "Q:") and (line[0] != "K" or _names_key(line[2:])):
            earlier |= {last[line[0]]} if line[0] in last else set()
            last[line[0]] = index
    return [line for index, line in enumerate(header) if index not in earlier]


def _names_key(field: str) -> bool:
    try:
        return parse_key(field) is not None
    except NotationError:
        return False


class _Music:
    """Music lines of a tune, one after another, and the fields between them that change them.

    Attributes:
        _compound: by voice, whether its metre is compound; ``""`` is what a voice begins with.
        _in_header: up to the first ``K:``, where ``V:`` opens no voice.
        _voice: the one that is being written.
        _symbols: what ``U:`` defines.
        _plus: whether ``I:decoration +`` says that decorations stand between plus signs.
    """

    def __init__(self) -> None:
        self._compound = {"": False}
        self._in_header = True
        self._voice = ""
        self._symbols: dict[str, str] = {}
        self._plus = False

    def header_line(self, line: str) -> str:
        """Take note of a field of the header; it stays."""
        if line[1:2] == ":":
            self._field(line[0], line[2:].strip())
        return line

    def line(self, line: str) -> str:
        """A line after the header, plain."""
        if line.startswith("%"):
            return line
        if BODY_FIELD.match(line):
            return self.header_line(line)
        return _MUSIC.sub(self._plain, line)

    def _field(self, letter: str, value: str) -> None:
        if letter == "M":
            self._compound[self._voice] = bool(_COMPOUND.fullmatch(value))
        elif letter == "K":
            self._in_header = False
        elif letter == "V" and value and not self._in_header:
            self._voice = value.split()[0]
        elif letter == "U" and (defined := _SYMBOL.match(value)):
            self._symbols[defined[1]] = self._symbol(defined[2])
        elif letter == "I" and re.match(r"(?:decoration\s+\+|linebreak\s.*!)", value):
            self._plus = True

    def _symbol(self, text: str) -> str:
        if text.strip("!+") in ("nil", "none"):
            return ""
        return f"!{text[1:-1]}!" if text.startswith("+") else text

    def _plain(self, match: re.Match[str]) -> str:
        text = match[0]
        if match["field"]:
            self._field(match["field"], match["value"].strip())
        elif match["line_end"]:
            return ""
        elif match["decoration"] and self._plus:
            return _MUSIC.sub(self._plain, text.strip("!"))
        elif match["plus"]:
            return self._between_plus(match["plus"])
        elif match["p"]:
            q = 3 if self._compound.get(self._voice, self._compound[""]) else 2
            return f"({match['p']}:{q}:{match['r'] or match['p']}" if q == 3 else text
        elif match["quarter_tone"]:
            raise ScoreError(f"{text} is a quarter tone, for which NotaGen's notation has no sign")
        elif match["symbol"]:
            return self._symbols.get(text, text)
        return text

    def _between_plus(self, text: str) -> str:
        """A decoration (ABC 2.0), or a chord of ABC 1.6."""
        chord = not self._plus and text not in DYNAMICS and _CHORD.fullmatch(text)
        return f"[{text}]" if chord else f"!{text}!"
