"""Where scores come from: files, and what is known about each of them."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from notagen.errors import UserError
from notagen.prompt import Prompt

UNKNOWN = Prompt("", "", "")

_TABLE = Path(__file__).with_name("music21_labels.csv")


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
