"""From text to patches, and from rows of a corpus to what a training step receives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from statistics import mean, median

import numpy as np

from benchmarks import reference
from benchmarks.material import texts
from benchmarks.preparing import Scores
from benchmarks.sides import Reply, Side, Works, alternate
from benchmarks.table import Row, timed
from notagen.data.pieces import PieceDataset, validation_pieces
from notagen.data.storage import Row as Piece
from notagen.patches import encode


def rows(scores: Scores, context: int, step: float, rounds: int, threads: int) -> Iterator[Row]:
    """Encoding beside the reference's, and training items.

    Args:
        scores: rows to make items of.
        context: longest item, in patches.
        step: seconds of a training step for each patch in it.
        rounds: measured ones; items need one more, the first epoch.
        threads: of torch.
    """
    with Side(partial(_works, scores, context), threads) as side:
        assert side("equal").result, "the reference encodes a text otherwise"
        measured = alternate((side, "reference"), (side, "ours"), rounds)
        yield from timed("encode text", "ms for 1,000 characters", measured, goal="8")
        rest = [side("rows") for _ in range(rounds)]
        cost = 1e3 * median(reply.cost["CPU"] for reply in rest)
        remark = "parse, leave rests out, encode; the original key"
        yield Row("encode a prepared row", "CPU ms for 1,000 characters", cost, remark=remark)
        for name, goal in zip(Scores._fields, ("2 ms", "20 ms"), strict=True):
            yield from _items(side, name, getattr(scores, name), goal, step, rounds)


def _items(
    side: Side, name: str, pieces: Sequence[Piece], goal: str, step: float, rounds: int
) -> Iterator[Row]:
    characters = mean(row["characters"] for row in pieces)
    kind = {"chorales": "chorale", "movement": "quartet movement"}[name]
    work = f"item, a {kind} of {characters:,.0f} characters"
    first, *later = [side(name) for _ in range(1 + rounds)]
    yield Row(work, "CPU ms", _item_ms([first]), goal=goal, remark="first epoch")
    yield Row(work, "CPU ms", _item_ms(later), goal=goal, remark="later epochs")
    trained = side(f"{name}, patches").result * step
    share = 100 * median(reply.cost["CPU"] for reply in later) / trained
    remark = "loader's work beside the first step above, patch for patch"
    yield Row(work, "% of a step", share, goal="2 %", remark=remark)


def _item_ms(replies: Sequence[Reply]) -> float:
    return 1e3 * median(reply.cost["CPU"] for reply in replies)


def _works(scores: Scores, context: int) -> Works:
    every = texts()
    thousands = sum(map(len, every)) / 1e3
    stored = [*scores.chorales, *scores.movement]

    def equal() -> bool:
        return all(np.array_equal(encode(text), reference.encode(text)) for text in every)

    def ours() -> float:
        for text in every:
            encode(text)
        return thousands

    def theirs() -> float:
        for text in every:
            reference.encode(text)
        return thousands

    def from_rows() -> float:
        validation_pieces(stored, context)
        return sum(row["characters"] for row in stored) / 1e3

    works = {"equal": equal, "ours": ours, "reference": theirs, "rows": from_rows}
    for name in Scores._fields:
        pieces = PieceDataset(getattr(scores, name), context, "all", seed=0)
        works[name] = partial(_next_epoch, pieces, count())
        works[f"{name}, patches"] = partial(_mean_patches, pieces)
    return works


def _next_epoch(pieces: PieceDataset, epochs: Iterator[int]) -> int:
    """An item of every piece, in another key than before."""
    epoch = next(epochs)
    return len([pieces[epoch, index] for index in range(len(pieces))])


def _mean_patches(pieces: PieceDataset) -> float:
    return mean(len(pieces[0, index]) for index in range(len(pieces)))
