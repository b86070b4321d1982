"""Titles and names as people read them: HTML entities and the escapes of ABC become characters."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

# ABC 2.1, section 8.2: \'e is an e with an acute accent; each accent as its combining character.
_ACCENTS: Final = dict(zip("`'^~\"cHvu.=;,o", "\u0300\u0301\u0302\u0303\u0308\u0327\u030b"
                           "\u030c\u0306\u0307\u0304\u0328\u0327\u030a", strict=True))  # fmt: skip
_LETTERS: Final = {
    **{"aa": "å", "AA": "Å", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "ss": "ß"},
    **{"th": "þ", "TH": "Þ", "dh": "ð", "DH": "Ð", "/o": "ø", "/O": "Ø"},
}
_ESCAPE = re.compile(
    rf"""\\(?:u(?P<short>[0-9A-Fa-f]{{4}})
    |U(?P<long>000[0-9A-Fa-f]{{5}})
    |(?P<letter>{"|".join(_LETTERS)})
    |(?P<accent>[{re.escape("".join(_ACCENTS))}])(?P<base>[A-Za-z])
    |(?P<plain>[%&"\\]))""",
    re.VERBOSE,
)


def plain_text(text: str) -> str:
    r"""A text string on one line, without escapes: ``Dvo\vr\'ak``, ``Dvo&rcaron;&aacute;k``."""
    decoded = _ESCAPE.sub(_character, html.unescape(text))
    return " ".join(unicodedata.normalize("NFC", decoded).split())


def _character(match: re.Match[str]) -> str:
    if code := match["short"] or match["long"]:
        number = int(code, 16)
        # Half of a pair of surrogates is no character, nor is a number beyond the last one.
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number < 0xE000 else ""
    if match["letter"]:
        return _LETTERS[match["letter"]]
    return match["base"] + _ACCENTS[match["accent"]] if match["base"] else str(match["plain"])
