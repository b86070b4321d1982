"""One score file as rows of a corpus, and what was left out of it."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from notagen import scores
from notagen.corpus import metadata
from notagen.corpus.fingerprint import signature
from notagen.corpus.guards import Refused, check
from notagen.corpus.sources import UNKNOWN, Source
from notagen.notation import NotationError, Tune, clean

if TYPE_CHECKING:  # readers have no need of the storage library
    from notagen.data.storage import Rejection, Row

_PLACE = re.compile(r"\b(?:line|bar|measure) \d+")


class Piece(TypedDict):
    """A row, and its MinHash signature in base64."""

    row: Row
    signature: str


class Outcome(TypedDict):
    """What became of one file: every tune in it is a piece or a rejection."""

    pieces: list[Piece]
    rejected: list[Rejection]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads score files of at most ``largest`` bytes (unpacked)."""

    largest: int

    def __call__(self, source: Source) -> Outcome:
        """Read a file; whatever is wrong with it becomes a rejection."""
        try:
            check(source.path, self.largest)
            tunes = scores.read(source.path)
            labels = source.labels or UNKNOWN._replace(composer=metadata.composer(source.path))
        except Refused as error:
            return failed(source, f"refused: {error}")
        except Exception as error:  # files fail in any way, and none may stop the run
            return failed(source, f"unreadable: {error or type(error).__name__}")
        outcome = Outcome(pieces=[], rejected=[])
        for number, tune in enumerate(tunes, start=1):
            name = source.piece if len(tunes) == 1 else f"{source.piece}#{number}"
"""
