"""Which of the pieces that were read go into the corpus, and into which split."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import numpy as np

from notagen.corpus.card import Card
from notagen.corpus.dedup import Duplicates
from notagen.corpus.reader import Outcome, Piece, rejection
from notagen.corpus.sources import Source
from notagen.data.storage import SPLITS, Rejection
from notagen.errors import UserError


@dataclass(frozen=True, slots=True)
class Rules:
    """What is kept, and how it is split.

    Args:
        min_bars: shorter pieces are left out.
        similarity: a piece that has so much in common with an earlier one (share of their
            shingles, see :mod:`notagen.corpus.dedup`) is a duplicate.
        validation_fraction: share of the pieces that goes to the validation split.
    """

    min_bars: int = 8
    similarity: float = 0.6
    validation_fraction: float = 0.1

    def __post_init__(self) -> None:
        for name in ("similarity", "validation_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"rules.{name}={getattr(self, name)} is not between 0 and 1")
        if self.similarity == 0:
            raise UserError("rules.similarity=0 makes all pieces the same; choose one above 0")


class Selection:
    """Pieces and rejections, file by file.

    ``kept[split][key]`` lists which pieces of a file (by its key in the journal) are in a split.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.kept: dict[str, dict[str, list[int]]] = {split: {} for split in SPLITS}
        self.rejected: list[Rejection] = []
        self.card = Card()
        self._duplicates = Duplicates(rules.similarity)

    def add(self, source: Source, key: str, outcome: Outcome) -> None:
        """Decide on each piece of a file."""
        for left_out in outcome["rejected"]:
            self._leave_out(left_out)
        for place, piece in enumerate(outcome["pieces"]):
            row = piece["row"]
            objection = self._objection(piece)
            if objection:
                self._leave_out(rejection(row["piece"], source.place, objection))
                continue
            split = source.split or self._split(row["piece"])
            self.kept[split].setdefault(key, []).append(place)
            self.card.add(split, row)

    def _leave_out(self, left_out: Rejection) -> None:
        self.rejected.append(left_out)
        self.card.leave_out(left_out["reason"])

    def _objection(self, piece: Piece) -> str:
        """Why a piece is left out; empty, and the piece remembered, when it is kept."""
        row = piece["row"]
        if row["bars"] < self.rules.min_bars:
            return f"too short: it has {row['bars']} bars, fewer than {self.rules.min_bars}"
        signature = np.frombuffer(base64.b64decode(piece["signature"]), dtype=np.uint32)
        found = self._duplicates.find(signature)
        if found:
            other, similarity = found
            return f"duplicate: {similarity:.0%} the same music as {other}"
        self._duplicates.add(row["piece"], signature)
        return ""

    def _split(self, piece: str) -> str:
        """A piece's split depends on its name alone: adding scores moves none of the others."""
        place = int.from_bytes(hashlib.sha256(piece.encode()).digest()[:8]) / 2**64
        return "validation" if place < self.rules.validation_fraction else "train"
