"""Safety checks before a file is parsed: its type, its size, and its XML declarations.

A hostile file can make a parser fill the memory (entities that expand into one another, archives
of zeros) or read other files (external entities). MusicXML needs no entities, so files that declare
any are refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn
from xml.parsers import expat

from notagen.scores.files import MUSICXML
from notagen.scores.musicxml import holds_score, starts_archive

_CHUNK = 1 << 12


class RefusedError(ValueError):
    """Raised for a file that must not be parsed, with the reason."""


def check(path: Path, largest: int) -> None:
    """Refuse a file that is not safe to parse.

    Args:
        path: a score file; an archive is not unpacked to disk.
        largest: maximum size of a file, and of an archive's members together, in bytes.

    Raises:
        RefusedError: not a regular file, empty, too large, or its XML declares entities.
        OSError: the file cannot be read.
        zipfile.BadZipFile: an archive of MusicXML is damaged.
    """
    if not path.is_file():  # a pipe would never end
        raise RefusedError("not a file")
    check_size(path.stat().st_size, largest)
    if path.suffix.lower() not in MUSICXML:
        return
    if is_archive(path):  # whatever its ending: the reader decides in the same way
        with zipfile.ZipFile(path) as archive:
            # zipfile reads no further than the declared sizes, so they can be trusted here.
            check_size(sum(member.file_size for member in archive.infolist()), largest)
            for document in open_documents(archive):
                _check_declarations(document)
            if not any(map(holds_score, archive.namelist())):
                raise RefusedError("its archive holds no MusicXML")
    else:
        with path.open("rb") as document:
            _check_declarations(document)


def is_archive(path: Path) -> bool:
    """True if a MusicXML file is a zip archive, by its first bytes."""
    with path.open("rb") as file:
        return starts_archive(file.read(4))


def open_documents(archive: zipfile.ZipFile) -> Iterator[IO[bytes]]:
    """Open each member of an .mxl archive in turn: the score may have any name."""
    for member in archive.infolist():
        with archive.open(member) as document:
            yield document


def check_size(size: int, largest: int) -> None:
    """Refuse an empty file, or one of more than ``largest`` bytes."""
    if size == 0:
        raise RefusedError("empty")
    if size > largest:
        raise RefusedError(f"{size:,} bytes, and limits.file_mb allows {largest:,}")


def _check_declarations(document: IO[bytes]) -> None:
    """Parse an XML file up to its first element: entities can only be declared before it."""
    elements: list[str] = []
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entity
    parser.StartElementHandler = lambda name, _: elements.append(name)
    try:
        while not elements and (chunk := document.read(_CHUNK)):
            parser.Parse(chunk)
    except expat.ExpatError:
        return  # malformed XML: the reader will report it


def _refuse_entity(name: str, *_: object) -> NoReturn:
    raise RefusedError(f"its XML declares an entity ({name})")
