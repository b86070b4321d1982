"""Composers of score files under one name each: ``Last, First``, ``Traditional``, ``Anonymous``."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from notagen.corpus.guards import is_archive, open_documents
from notagen.scores.files import MUSICXML
from notagen.scores.text_strings import plain_text

_TEXT_FIELD = {".abc": re.compile(rb"^C:(.*)$", re.M), ".krn": re.compile(rb"^!!!COM:(.*)$", re.M)}

_DATES = re.compile(r"\s*[(\[][^)\]]*\d[^)\]]*[)\]]")  # " (1685-1750)", " [b. 1943]"
_RIGHTS = re.compile(r"(?:©|\([cC]\)|(?i:copyright))\s*(?:\d{4}\b)?\s*(?:(?i:by)\s)?\s*")
_ROLE = re.compile(
    r"^(?:(?:words and |lyrics and )?music|composed|composer|comp\.|tune|melody|written)"
    r"\s*(?:by\b|:|,|$)\s*|^by\s+",
    re.IGNORECASE,
)
# From here on others are named: "Joe Doe, arr. by Ann Lee", "Composer / arranger"
_OTHERS = re.compile(
    r"[\s,;:/(\[-]*\b(?:arr(?:\.|\b)|arranged|arrangement|arranger|harm\.|harmoni[sz]ed|transcribed"
    r"|transcription|edited by|editor|set by|setting by|lyrics by|words by|lyricist)(?!\w).*$",
    re.IGNORECASE,
)
_TRADITIONAL = re.compile(r"\btrad(?:\b|it\w*)", re.IGNORECASE)
_ANONYMOUS = re.compile(r"anon(?:\.|ymous|yme|imo|ymus)?", re.IGNORECASE)
_UNKNOWN = re.compile(r"(?:unknown|composer|n/?a|none|\?|-|[\s./])*", re.IGNORECASE)
_AFTER_LAST = re.compile(r"(.*\S)(,? (?:[JS]r\.?|I{2,3})| of .*)")  # "John Doe Jr.", "Doe of York"


def read_composer(path: Path) -> str:
    """Composer of a score file as ``Last, First``; empty if it names none or several.

    Read from MusicXML's ``creator``, Humdrum's ``!!!COM:`` or ABC's ``C:``. The file must have
    passed :func:`notagen.corpus.guards.check`.
    """
    suffix = path.suffix.lower()
    if suffix in _TEXT_FIELD:
        fields = _TEXT_FIELD[suffix].findall(path.read_bytes())
        names = {field.decode("utf-8", "replace") for field in fields}
    elif suffix in MUSICXML and is_archive(path):
        with zipfile.ZipFile(path) as archive:
            names = {name for document in open_documents(archive) for name in _creators(document)}
    elif suffix in MUSICXML:
        with path.open("rb") as document:
            names = set(_creators(document))
    else:
        names = set()
    known = {composer_name(name) for name in names} - {""}
    return known.pop() if len(known) == 1 else ""


def composer_name(text: str) -> str:
    """The composer whom a field names; empty if it names an arranger alone, or no one.

    ``Ludwig van Beethoven (1770-1827)`` is ``Beethoven, Ludwig van``; all that is traditional,
    of whatever region or setting, is ``Traditional``.
    """
    name = _RIGHTS.sub("", plain_text(text))
    if _TRADITIONAL.search(name):
        return "Traditional"
    name = _ROLE.sub("", _OTHERS.sub("", _DATES.sub("", name))).strip(" ,;/")
    if name[:1] + name[-1:] in ("[]", "()"):  # of editors who are not sure
        name = name[1:-1].strip()
    if _UNKNOWN.fullmatch(name):
        return ""
    return "Anonymous" if _ANONYMOUS.fullmatch(name) else _last_name_first(name)


def _last_name_first(name: str) -> str:
    if after := _AFTER_LAST.fullmatch(name):
        last, comma, first = _last_name_first(after[1]).partition(",")
        return f"{last}{after[2]}{comma}{first}"
    if "," in name or " " not in name:
        return name
    first, _, last = name.rpartition(" ")
    return f"{last}, {first}"


def _creators(document: IO[bytes]) -> list[str]:
    """Composers in a MusicXML header, which ends at the list of parts."""
    names = []
    try:
        for event, element in ElementTree.iterparse(document, events=("start", "end")):
            if element.tag == "part-list":
                break
            if event == "end" and element.tag == "creator" and element.get("type") == "composer":
                names.append((element.text or "").strip())
    except ElementTree.ParseError:
        return []  # another member of the archive, such as a picture
    return [name for name in names if name]
