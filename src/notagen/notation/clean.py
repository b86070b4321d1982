"""Cleaning of ABC text, as NotaGen's corpora were cleaned, extended to ABC of other origin."""

from __future__ import annotations

import re

from unidecode import unidecode

from notagen.notation.bars import QUOTED
from notagen.notation.parser import BODY_FIELD, HEADER_FIELD

_MAX_ANNOTATION = 40  # characters, quotes included
# The published rules drop X T C W w Z and %%MIDI, all that their converter writes besides these.
_KEPT_FIELDS = "KLMQV"
# Control characters except tab and line feed: XML holds none of them, NotaGen reserves 0, 1 and 2.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_DROPPED_DIRECTIVE = re.compile(r"%%(?!score)")
_CURLY_QUOTES = dict.fromkeys(map(ord, "“”„‟″"), "'")  # would be " in ASCII and end a text early
_BAR_NUMBER = re.compile(r"(?<!\s)\s*+%\s*+\d++\s*+$")
_QUOTED = re.compile(QUOTED)
_BARLINE = re.compile(r"\||::")
_RUN = re.compile(r"([^A-Za-z0-9])\1+")  # "dim____" becomes "dim_"
# Score line breaks: `$` anywhere outside quotes, and at the end of a line `\` or ` !` (ABC 2.0).
_LINE_BREAK = re.compile(rf"({QUOTED})|(?<!\s)\s*+(?:\$|(?:\\|(?<=\s)!)\s*$)")
# +trill+ and +p+ (ABC 2.0); a chord such as +CEG+ (ABC 1.6) is no decoration.
_PLUS_DECORATION = re.compile(r"\+([a-z][a-z.<>()]{2,}|[mfps]+)\+")


def clean(text: str) -> str:
    """Clean the ABC text of one score; the music stays as it is.

    As published: blank lines, titles, composers, lyrics and ``%%MIDI`` lines go, and so do bar
    numbers in comments, escaped quotes, annotations that hold a barline or are longer than 40
    characters; text becomes ASCII; a character repeated in an annotation is written once.
    Beyond that, for ABC of other origin: all information fields but ``K: L: M: Q: V:`` and all
    directives but ``%%score`` go, line-break marks go, and ``+trill+`` becomes ``!trill!``.
    """
    kept = []
    field = HEADER_FIELD
    for raw in unidecode(text.translate(_CURLY_QUOTES)).split("\n"):
        line = CONTROL.sub("", raw).replace('\\"', "")
        if line.startswith("K:"):
            field = BODY_FIELD
        if field.match(line):
            kept.append(line if line[0] in _KEPT_FIELDS else "")
        elif line.startswith("%"):
            kept.append("" if _DROPPED_DIRECTIVE.match(line) else line)
        else:
            kept.append(_music(line))
    return "\n".join(line for line in kept if line.strip()) + "\n"


def plain_line(text: str) -> str:
    """Transliterate a name to one line of printable ASCII: ``Dvořák`` to ``Dvorak``."""
    return " ".join(CONTROL.sub(" ", unidecode(text)).split())


def _music(line: str) -> str:
    line = _LINE_BREAK.sub(lambda match: match[1] or "", _BAR_NUMBER.sub("", line))
    return _PLUS_DECORATION.sub(r"!\1!", _QUOTED.sub(_annotation, line))


def _annotation(match: re.Match[str]) -> str:
    """A quoted text, shortened where it is an annotation (``"^..."``, ``"_..."``), or nothing."""
    quoted = match[0]
    if _BARLINE.search(quoted):
        return ""
    if quoted[1:2] in ("^", "_"):
        quoted = _RUN.sub(r"\1", quoted)
        if len(quoted) > _MAX_ANNOTATION:
            return ""
    return quoted
