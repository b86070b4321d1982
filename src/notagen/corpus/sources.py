"""Sources of scores: music21's corpus or a folder, and the labels of each file."""

from __future__ import annotations

import csv
import io
import json
import os
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from notagen.corpus import formats, remote
from notagen.data import storage
from notagen.errors import UserError
from notagen.prompts import Prompt

UNKNOWN = Prompt("", "", "")

_TABLE = Path(__file__).with_name("music21_labels.csv")

PERIODS: Final = ("Medieval", "Renaissance", "Baroque", "Classical", "Romantic", "Modern")


@dataclass(frozen=True, slots=True)
class Source:
    """One score file, or a file among scores that is none; the reader rejects that.

    Args:
        piece: its name, the same on every machine: ``bach/bwv269.mxl``.
        path: the file; for a remote score, its path below the remote folder.
        labels: period, composer and instrumentation, each empty if unknown; None: read the
            composer from the score.
        split: the split it belongs to; empty: assigned by a hash of the name.
        licence: the terms of use, if they are restrictive.
        url: the address of a remote score, for fsspec.
    """

    piece: str
    path: Path
    labels: Prompt | None
    split: str = ""
    licence: str = ""
    url: str = ""

    @property
    def location(self) -> str:
        """Path or address of the file, for messages."""
        return self.url or str(self.path)


def chorales() -> list[Source]:
    """The Bach chorales that music21 installs: 409 MusicXML files, most of them in four voices."""
    return [
        source
        for source in music21()
        if source.piece.startswith("bach/") and source.labels and "Choral" in source.labels
    ]


def music21(include: str | Collection[str] = ()) -> list[Source]:
    """The scores that music21 installs, as listed and labelled in ``music21_labels.csv``.

    A few works in other styles are held out as the test split. The table leaves out music21's
    demonstrations and exercises, second copies of a work in another format, files with all rights
    reserved, and music without bar lines.

    Args:
        include: one or several collections with restrictive or unclear terms to read as well.

    Raises:
        UserError: ``include`` names an unknown collection.
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
        sources.setdefault(source.piece, source)  # globs overlap: the first row counts
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
    """All files below a folder, sorted by name, scores first; symbolic links are followed.

    A score's labels are its row in the table ``labels``; failing that, the three folders above it
    if they are ``period/composer/instrumentation`` with one of :data:`PERIODS`; failing that, the
    composer is read from the score. Files that are no scores are there to be named as left out;
    hidden ones, the table, and prepared corpora are not.

    Args:
        path: the folder, a path or an address that fsspec can read.
        labels: a table, see :func:`read_labels`.

    Raises:
        UserError: no such folder, no score in it, or a row of the table without a score.
    """
    files = _remote_sources(path) if remote.is_url(path) else _local_sources(Path(path))
    scores = {name: source for name, source in files.items() if formats.is_score(name)}
    table = (
        {_normal(name): row for name, row in read_labels(Path(labels)).items()} if labels else {}
    )
    others = [
        source
        for name, source in sorted(files.items() - scores.items())
        if not name.startswith(".") and "/." not in name and not _is_file(source, labels)
    ]
    if not scores:
        reasons = f"; {others[0].piece} is {formats.what_else(others[0].piece)}" if others else ""
        raise UserError(
            f"there is no score in {path}; those that are read are {formats.SCORES}{reasons}"
        )
    unused = sorted(table.keys() - set(map(_normal, scores)))
    if unused:
        raise UserError(f"{labels} has labels for {unused[0]!r}, and {path} has no such score")
    return [
        replace(source, labels=table.get(_normal(name)) or _labels_of_folders(name))
        for name, source in sorted(scores.items())
    ] + others


def _normal(name: str) -> str:
    """A name as it is compared: file systems and spreadsheets write accents in different ways."""
    return unicodedata.normalize("NFC", name)


def _is_file(source: Source, path: str | None) -> bool:
    return path is not None and not source.url and source.path.resolve() == Path(path).resolve()


def _local_sources(root: Path) -> dict[str, Source]:
    if not root.is_dir():
        wrong = f"{root} is a file" if root.exists() else f"there is no folder {root}"
        raise UserError(f"{wrong}; give the folder of scores as corpus.path")
    names = {_name(file, root): file for file in _files(root)}
    return {name: Source(name, file, None) for name, file in names.items()}


def _remote_sources(root: str) -> dict[str, Source]:
    return {
        name: Source(name, Path(name), None, url=url) for name, url in remote.find(root).items()
    }


def _files(root: Path) -> Iterator[Path]:
    seen = set()  # of folders: a link to a folder above would never end
    for folder, subfolders, names in os.walk(root, onerror=_refuse, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen or storage.WHOLE in names:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders.sort()
        yield from (Path(folder, name) for name in names)


def _refuse(error: OSError) -> NoReturn:
    raise UserError(f"cannot look into {error.filename}: {error.strerror}") from error


def _name(file: Path, root: Path) -> str:
    """Path within the folder; bytes that are not UTF-8 are written as ``\\xff``."""
    return os.fsencode(file.relative_to(root)).decode("utf-8", "backslashreplace")


def _labels_of_folders(name: str) -> Prompt | None:
    folders = name.split("/")[-4:-1]
    return Prompt(*folders) if len(folders) == 3 and folders[0] in PERIODS else None


def read_labels(path: Path) -> dict[str, Prompt]:
    """Read a CSV table with a header line, or JSON Lines, with the columns of the prompt.

    Column ``file`` is the score's path within its folder; ``period``, ``composer`` and
    ``instrumentation`` may be empty or missing. Other columns are ignored.

    Raises:
        UserError: no such file, another format or encoding, or no column ``file``.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise UserError(f"corpus.labels={path} is not a .csv or .jsonl file")
    if not path.is_file():
        wrong = "is no file" if path.exists() else "does not exist"
        raise UserError(f"corpus.labels={path} {wrong}; give a table, or null for none")
    labels = {}
    try:
        table = path.read_text(encoding="utf-8-sig")  # spreadsheets may write a byte-order mark
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8, which tables of labels must be") from error
    lines = io.StringIO(table, newline="")
    for number, row in enumerate(
        csv.DictReader(lines) if path.suffix.lower() == ".csv" else _json_lines(lines, path),
        start=1,
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
