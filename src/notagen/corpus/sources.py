"""Sources of scores: music21's corpus, a folder, and the labels of each file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from notagen.corpus import remote
from notagen.errors import UserError
from notagen.prompts import Prompt

UNKNOWN = Prompt("", "", "")

_TABLE = Path(__file__).with_name("music21_labels.csv")

SUFFIXES: Final = (".abc", ".krn", ".mid", ".midi", ".musicxml", ".mxl", ".xml")
PERIODS: Final = ("Medieval", "Renaissance", "Baroque", "Classical", "Romantic", "Modern")


@dataclass(frozen=True, slots=True)
class Source:
    """One score file.

    Args:
        piece: a name that stays the same from machine to machine: ``bach/bwv269.mxl``.
        path: the file; of a score in another place, its path there.
        labels: empty where they are not known; None asks the score itself for its composer.
        split: the split that it is meant for; empty where the piece's name decides.
        licence: its terms, where they restrict what may be done with it.
        url: of a score in another place, the address that fsspec fetches it from.
    """

    piece: str
    path: Path
    labels: Prompt | None
    split: str = ""
    licence: str = ""
    url: str = ""

    @property
    def place(self) -> str:
        """Where the file is, for a user to look at."""
        return self.url or str(self.path)


def chorales() -> list[Source]:
    """The Bach chorales that music21 installs: 409 MusicXML files, four voices in most of them."""
    return [
        source
        for source in music21()
        if source.piece.startswith("bach/") and source.labels and "Choral" in source.labels
    ]


def music21(include: str | Collection[str] = ()) -> list[Source]:
    """The scores that music21 installs, as ``music21_labels.csv`` lists and labels them.

    Collections of a few works in other styles are held out, as the test split. Left out
    altogether are music21's demonstrations and exercises, second copies of a work in another
    format, files that reserve all rights, and music without bar lines.

    Args:
        include: collections with restrictive or unclear terms that are wanted all the same, or
            one of them.

    Raises:
        UserError: ``include`` names something else than such a collection.
    """
    include = {include} if isinstance(include, str) else set(include)
    with _TABLE.open(newline="") as file:
        table = list(csv.DictReader(file))
    choices = {row["collection"] for row in table if row["use"] == "include"}
    unknown = sorted(include - choices)
    if unknown:
        raise UserError(
            f"corpus.include does not know {', '.join(unknown)}; choose from "
            f"{', '.join(sorted(choices))}"
        )
    rows = [row for row in table if row["use"] != "include" or row["collection"] in include]
    sources: dict[str, Source] = {}
    for source in (source for row in rows for source in _listed(row)):
        sources.setdefault(source.piece, source)  # of several rows, the first counts
    return list(sources.values())


def _listed(row: dict[str, str]) -> Iterator[Source]:
    from music21.common import getCorpusFilePath

    corpus = Path(getCorpusFilePath())
    for path in sorted(corpus.glob(row["files"])):
        yield Source(
            piece=path.relative_to(corpus).as_posix(),
            path=path,
            labels=Prompt(row["period"], row["composer"], row["instrumentation"]),
            split="test" if row["use"] == "test" else "",
            licence=row["licence"],
        )


def folder(path: str, labels: str | None = None) -> list[Source]:
    """All scores below a folder, in the order of their names; links are followed.

    A score's labels are those of the table ``labels``; without a row there, the three folders
    above it where they are ``period/composer/instrumentation`` with one of :data:`PERIODS`; and
    else the score is asked for its composer.

    Args:
        path: the folder, a path or an address that fsspec can read.
        labels: a table, see :func:`notagen.corpus.sources.read_labels`.

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


def read_labels(path: Path) -> dict[str, Prompt]:
    """Read a CSV table with a header line, or JSON Lines, with the columns of the prompt.

    Column ``file`` is the score's path within its folder; ``period``, ``composer`` and
    ``instrumentation`` may be empty or missing. Other columns are not looked at.

    Raises:
        UserError: no such file, another format or encoding, or no column ``file``.
    """
    if path.suffix not in (".csv", ".jsonl") or not path.is_file():
        raise UserError(f"corpus.labels={path} is not a .csv or .jsonl file")
    labels = {}
    try:
        table = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8, which tables of labels must be") from error
    lines = io.StringIO(table, newline="")
    for number, row in enumerate(
        csv.DictReader(lines) if path.suffix == ".csv" else _json_lines(lines, path), start=1
    ):
        name = row.get("file")
        if not name:
            raise UserError(f"row {number} of {path} names no file; its column must be `file`")
        given = (row.get(field) for field in Prompt._fields)
        labels[str(name)] = Prompt(*(str(label or "").strip() for label in given))
    return labels


def _json_lines(lines: TextIO, path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"line {number} of {path} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"line {number} of {path} is not a JSON object")
        yield row
