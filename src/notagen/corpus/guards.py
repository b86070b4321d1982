"""What is looked at before a file is parsed: its kind, its size, and what its XML declares.

A parser that is handed a hostile file may fill the memory (entities that expand into one another,
archives of zeros) or read other files (external entities). MusicXML needs no entities, so files
that declare any are refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn
from xml.parsers import expat

_CHUNK = 1 << 12


class RefusedError(ValueError):
    """A file that is not to be parsed; the message says why."""


def check(path: Path, largest: int) -> None:
    """Refuse what a parser should not be handed.

    Args:
        path: a score file; read, never executed or unpacked to disk.
        largest: bytes that a file may have, and an archive's members together, unpacked.

    Raises:
        RefusedError: no regular file, empty, too large, or its XML declares entities.
        OSError: the file cannot be read.
        zipfile.BadZipFile: an .mxl file is not an archive.
    """
    if not path.is_file():  # a pipe would never end
        raise RefusedError("not a file")
    check_size(path.stat().st_size, largest)
    suffix = path.suffix.lower()
    if suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            # Reading stops at the size that is declared here, so that it can't be exceeded.
            check_size(sum(member.file_size for member in archive.infolist()), largest)
            for document in open_documents(archive):
                _check_declarations(document)
    elif suffix in (".xml", ".musicxml"):
        with path.open("rb") as document:
            _check_declarations(document)


def open_documents(archive: zipfile.ZipFile) -> Iterator[IO[bytes]]:
    """All members of an .mxl archive: the score in it may have any name."""
    for member in archive.infolist():
        with archive.open(member) as document:
            yield document


def check_size(size: int, largest: int) -> None:
    """Refuse a file of no or of more than ``largest`` bytes."""
    if size == 0:
        raise RefusedError("empty")
    if size > largest:
        raise RefusedError(f"{size:,} bytes, and limits.file_mb allows {largest:,}")


def _check_declarations(document: IO[bytes]) -> None:
    """Read up to the first element: declarations can't stand behind it."""
    elements: list[str] = []
    parser = expat.ParserCreate()
    parser.EntityDeclHandler = _refuse_entity
    parser.StartElementHandler = lambda name, _: elements.append(name)
    try:
        while not elements and (chunk := document.read(_CHUNK)):
            parser.Parse(chunk)
    except expat.ExpatError:
        return  # that it is no XML is for the reader to say


def _refuse_entity(name: str, *_: object) -> NoReturn:
    raise RefusedError(f"its XML declares an entity ({name})")
