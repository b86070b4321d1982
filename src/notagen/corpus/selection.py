"""Selection of pieces: minimum length, duplicates, assignment to a split."""

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
    """Rules for selecting and splitting pieces.

    Args:
        min_bars: shorter pieces are left out.
        similarity: from this similarity to an earlier piece on (Jaccard, of their shingles; see
            :mod:`notagen.corpus.dedup`), a piece is a duplicate.
        validation_fraction: fraction of the pieces in the validation split.
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
    """The selected pieces and the rejections, collected file by file.

    ``kept[split][key]`` lists the indices of a file's pieces (the file by its key in the journal)
    that are in a split.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.kept: dict[str, dict[str, list[int]]] = {split: {} for split in SPLITS}
        self.rejected: list[Rejection] = []
        self.card = Card()
        self._duplicates = Duplicates(rules.similarity)

    def add(self, source: Source, key: str, outcome: Outcome) -> None:
        """Select or reject each piece of a file."""
        for left_out in outcome["rejected"]:
            self._leave_out(left_out)
        for index, piece in enumerate(outcome["pieces"]):
            row = piece["row"]
            objection = self._objection(piece)
            if objection:
                self._leave_out(rejection(row["piece"], source.location, objection))
                continue
            split = source.split or self._split(row["piece"])
            self.kept[split].setdefault(key, []).append(index)
            self.card.add(split, row)

    def _leave_out(self, left_out: Rejection) -> None:
        self.rejected.append(left_out)
        self.card.leave_out(left_out["reason"])

    def _objection(self, piece: Piece) -> str:
        """Reason to leave a piece out; empty for a piece to keep, which is added to the index."""
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
        """Split of a piece, by a hash of its name: adding scores does not move the others."""
        uniform = int.from_bytes(hashlib.sha256(piece.encode()).digest()[:8]) / 2**64  # in [0, 1)
        return "validation" if uniform < self.rules.validation_fraction else "train"
