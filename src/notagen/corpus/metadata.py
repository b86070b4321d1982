"""Who wrote a piece, as its own file says."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from notagen.corpus.guards import open_documents

_DATES = re.compile(r"\s*[(\[][^)\]]*\d[^)\]]*[)\]]")  # (1685-1750)
_TEXT_FIELD = {".abc": re.compile(rb"^C:(.*)$", re.M), ".krn": re.compile(rb"^!!!COM:(.*)$", re.M)}


def composer(path: Path) -> str:
    """The composer that a file names, as ``Last, First``; empty where it names none or several.

    Looks at MusicXML's ``creator``, Humdrum's ``!!!COM:`` and ABC's ``C:``. The file has passed
    :func:`notagen.corpus.guards.check`.
    """
    suffix = path.suffix.lower()
    if suffix in _TEXT_FIELD:
        fields = _TEXT_FIELD[suffix].findall(path.read_bytes())
        names = {field.decode("utf-8", "replace").strip() for field in fields} - {""}
    elif suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            names = {name for document in open_documents(archive) for name in _creators(document)}
    elif suffix in (".xml", ".musicxml"):
        with path.open("rb") as document:
            names = set(_creators(document))
    else:
        names = set()
    return last_name_first(names.pop()) if len(names) == 1 else ""


def last_name_first(name: str) -> str:
    """``Ludwig van Beethoven (1770-1827)`` as ``Beethoven, Ludwig van``."""
    name = " ".join(_DATES.sub("", name).split())
    if "," in name or " " not in name:
        return name
    first, _, last = name.rpartition(" ")
    return f"{last}, {first}"


def _creators(document: IO[bytes]) -> list[str]:
    """Composers in a MusicXML header, which ends where the list of parts begins."""
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
