"""Which pieces are preferred to which: the best and the worst of those a policy wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

Pairing = Literal["within", "across"]
"""``within``: pairs of pieces with the same prompt. ``across``: any chosen with any rejected, as
published."""


LOWEST: Final = -1.0
"""The score of a piece that cannot be read: the lowest a cosine has, so it is rejected first."""


class Candidate(NamedTuple):
    """A piece that a policy wrote.

    Attributes:
        number: its place among all pieces written.
        prompt: what it was asked to be.
        score: the higher, the better; LOWEST where the piece cannot be read.
        excluded: why it must not be chosen; empty if it may.
    """

    number: int
    prompt: str
    score: float
    excluded: str


class Preferences(NamedTuple):
    """Pieces to learn from, best and worst first; any chosen x rejected makes a pair."""

    chosen: list[Candidate]
    rejected: list[Candidate]


def choose(candidates: Sequence[Candidate], share: float) -> Preferences:
    """The best and the worst ``share`` of pieces with one prompt, at least one of each.

    The rejected are the worst of all; the chosen the best of the rest that nothing excludes, so
    that none is both. Where no piece can be chosen, none is rejected.
    """
    most = max(1, round(share * len(candidates)))
    ranked = sorted(candidates, key=lambda piece: (-piece.score, piece.number))
    eligible = [piece for piece in ranked[:-most] if not piece.excluded]
    return Preferences(eligible[:most], ranked[: -most - 1 : -1] if eligible else [])


def groups(candidates: Iterable[Candidate], share: float, pairing: Pairing) -> list[Preferences]:
    """Best and worst of each prompt; ``across`` makes one group of them all."""
    by_prompt: dict[str, list[Candidate]] = {}
    for piece in candidates:
        by_prompt.setdefault(piece.prompt, []).append(piece)
    found = [choose(pieces, share) for pieces in by_prompt.values()]
    if pairing == "within":
        return [group for group in found if group.chosen]
    chosen = [piece for group in found for piece in group.chosen]
    rejected = [piece for group in found for piece in group.rejected]
    return [Preferences(chosen, rejected)] if chosen else []
