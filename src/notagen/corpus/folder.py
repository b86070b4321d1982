"""A folder of scores, and what its names say about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn

from notagen.corpus import remote
from notagen.corpus.labels import read_labels
from notagen.corpus.sources import Source
from notagen.errors import UserError
from notagen.prompt import Prompt

SUFFIXES: Final = (".abc", ".krn", ".mid", ".midi", ".musicxml", ".mxl", ".xml")
PERIODS: Final = ("Medieval", "Renaissance", "Baroque", "Classical", "Romantic", "Modern")


def folder(path: str, labels: str | None = None) -> list[Source]:
    """All scores below a folder, in the order of their names; links are followed.

    A score's labels are those of the table ``labels``; without a row there, the three folders
    above it where they are ``period/composer/instrumentation`` with one of :data:`PERIODS`; and
    else the score is asked for its composer.

    Args:
        path: the folder, a path or an address that fsspec can read.
        labels: a table, see :func:`notagen.corpus.labels.read_labels`.

    Raises:
        UserError: no such folder, no score in it, or a row of the table for no score.
    """
    files = _elsewhere(path) if remote.is_url(path) else _here(Path(path))
    if not files:
        raise UserError(f"there is no score in {path}; the names of scores end in {SUFFIXES}")
    table = read_labels(Path(labels)) if labels else {}
    unused = sorted(table.keys() - files.keys())
    if unused:
        raise UserError(f"{labels} has labels for {unused[0]!r}, and {path} has no such score")
    return [
        replace(source, labels=table.get(name) or _labels_of_folders(name))
        for name, source in sorted(files.items())
    ]


def _here(root: Path) -> dict[str, Source]:
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the folder of scores as corpus.path")
    names = {_name(file, root): file for file in _files(root)}
    return {name: Source(name, file, None) for name, file in names.items()}


def _elsewhere(root: str) -> dict[str, Source]:
    return {
        name: Source(name, Path(name), None, url=url)
        for name, url in remote.find(root).items()
        if name.lower().endswith(SUFFIXES)
    }


def _files(root: Path) -> Iterator[Path]:
    seen = set()  # folders, so that a link to a folder above ends here
    for folder, subfolders, names in os.walk(root, onerror=_refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        yield from (Path(folder, name) for name in names if name.lower().endswith(SUFFIXES))


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"cannot look into {error.filename}: {error.strerror}") from error


def _name(file: Path, root: Path) -> str:
    """Path within the folder; bytes that are no UTF-8 are written as ``\\xff``."""
    return os.fsencode(file.relative_to(root)).decode("utf-8", "backslashreplace")


def _labels_of_folders(name: str) -> Prompt | None:
    folders = name.split("/")[-4:-1]
    return Prompt(*folders) if len(folders) == 3 and folders[0] in PERIODS else None
