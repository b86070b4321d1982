"""Selection of pieces: minimum length, duplicates, assignment to a split."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import numpy as np

from notagen.corpus.card import Card
from notagen.corpus.dedup import Duplicates
from notagen.corpus.differences import Differences
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
        validation_fraction: fraction of the pieces in the validation split; at least one piece is
            in each of training and validation, whatever it is.
        note_difference: fraction of a file's notes that reading may lose or add; more, and the
            piece is left out. Pieces with fewer are counted in the data card.
        bar_metres: the longest bar, in its metre; a piece with a longer one was read wrong.
    """

    min_bars: int = 8
    similarity: float = 0.6
    validation_fraction: float = 0.1
    note_difference: float = 0.05
    bar_metres: float = 8

    def __post_init__(self) -> None:
        if self.min_bars < 0:
            raise UserError(
                f"rules.min_bars={self.min_bars} is no number of bars; choose 0 or more"
            )
        if not self.bar_metres >= 1:
            raise UserError(f"rules.bar_metres={self.bar_metres} leaves out every piece; choose 8")
        for name in ("similarity", "validation_fraction", "note_difference"):
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
        self._outermost: dict[str, tuple[float, str, int]] = {}  # of each split, by hash
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
            place = _uniform(row["piece"])
            split = source.split or self._split(place)
            if not source.split:
                self._remember(split, (place, key, index))
            self.kept[split].setdefault(key, []).append(index)
            self.card.add(split, row)
            self.card.differ(Differences(*piece["differences"]).added)

    def finish(self) -> None:
        """Give training and validation a piece where one has none and the other has two.

        Of the others, that is the piece which the next larger or smaller fraction would have put
        there.

        Raises:
            UserError: there are fewer than two pieces, of which nothing can be trained.
        """
        counts = self.card.pieces
        if counts["train"] + counts["validation"] < 2:
            raise UserError(self._too_few())
        for empty, other in (("validation", "train"), ("train", "validation")):
            if counts[empty] == 0 and other in self._outermost:
                _, key, index = self._outermost[other]
                self.kept[other][key].remove(index)
                self.kept[empty] = {key: [index]}
                counts.update({other: -1, empty: 1})

    def _remember(self, split: str, piece: tuple[float, str, int]) -> None:
        """Note the piece of a split that is nearest to the other one."""
        nearest = min if split == "train" else max
        self._outermost[split] = nearest(piece, self._outermost.get(split, piece))

    def _too_few(self) -> str:
        rejected, used = len(self.rejected), self.card.pieces.total()
        if not rejected and not used:
            return "there are no scores to prepare"
        kept = f"only {used}" if used else "none"
        sentence = f"{kept} of the {rejected + used} pieces could be used, and training needs two"
        if not rejected:
            return f"{sentence}; give it more scores"
        first = self.rejected[0]
        return f"{sentence}; the first that was left out, {first['piece']}, is {first['reason']}"

    def _leave_out(self, left_out: Rejection) -> None:
        self.rejected.append(left_out)
        self.card.leave_out(left_out["reason"])

    def _objection(self, piece: Piece) -> str:
        """Reason to leave a piece out; empty for a piece to keep, which is added to the index."""
        row = piece["row"]
        if row["bars"] < self.rules.min_bars:
            return f"too short: it has {row['bars']} bars, fewer than {self.rules.min_bars}"
        differences = Differences(*piece["differences"])
        if objection := self._misread(differences):
            return objection
        signature = np.frombuffer(base64.b64decode(piece["signature"]), dtype=np.uint32)
        found = self._duplicates.find(signature)
        if found:
            other, similarity = found
            return f"duplicate: {similarity:.0%} the same music as {other}"
        self._duplicates.add(row["piece"], signature)
        return ""

    def _misread(self, found: Differences) -> str:
        """Reason to think that a piece was read wrong; empty without one."""
        if abs(found.added) > self.rules.note_difference * found.notes:
            what = "lacks" if found.added < 0 else "adds"
            return (
                f"misread: its text {what} {abs(found.added)} notes, and the file has "
                f"{found.notes} (rules.note_difference)"
            )
        if found.metres > self.rules.bar_metres:
            return (
                f"misread: bar {found.bar} lasts {found.metres:.0f} times its metre "
                "(rules.bar_metres)"
            )
        return ""

    def _split(self, place: float) -> str:
        return "validation" if place < self.rules.validation_fraction else "train"


def _uniform(piece: str) -> float:
    """A number in [0, 1) by a hash of a piece's name: adding scores does not move the others."""
    return int.from_bytes(hashlib.sha256(piece.encode()).digest()[:8]) / 2**64
