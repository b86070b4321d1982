"""Preference pairs: the best and the worst pieces of a prompt, and all pairs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

import torch.utils.data

from notagen.dpo.settings import Pairing, extreme

LOWEST: Final = -1.0
"""The score of a piece that cannot be read: the lowest a cosine has, so it is rejected first."""


class Candidate(NamedTuple):
    """A piece that a policy wrote.

    Attributes:
        number: of the piece in its iteration.
        prompt: name of its prompt.
        score: the higher, the better; LOWEST where the piece cannot be read.
        excluded: reason not to choose it; empty for none.
    """

    number: int
    prompt: str
    score: float
    excluded: str


class Preferences(NamedTuple):
    """Pieces to learn from, best and worst first; any chosen x rejected makes a pair."""

    chosen: list[Candidate]
    rejected: list[Candidate]


def choose(candidates: Sequence[Candidate], fraction: float) -> Preferences:
    """The best and the worst ``fraction`` of pieces with one prompt, at least one of each.

    The rejected are the worst of all; the chosen the best of the rest that nothing excludes, so
    that none is both. Where no piece can be chosen, none is rejected.
    """
    most = extreme(fraction, len(candidates))
    ranked = sorted(candidates, key=lambda piece: (-piece.score, piece.number))
    eligible = [piece for piece in ranked[:-most] if not piece.excluded]
    return Preferences(eligible[:most], ranked[: -most - 1 : -1] if eligible else [])


def groups(candidates: Iterable[Candidate], fraction: float, pairing: Pairing) -> list[Preferences]:
    """Best and worst of each prompt; ``across`` makes one group of them all."""
    by_prompt: dict[str, list[Candidate]] = {}
    for piece in candidates:
        by_prompt.setdefault(piece.prompt, []).append(piece)
    found = [choose(pieces, fraction) for pieces in by_prompt.values()]
    if pairing == "within":
        return [group for group in found if group.chosen]
    chosen = [piece for group in found for piece in group.chosen]
    rejected = [piece for group in found for piece in group.rejected]
    return [Preferences(chosen, rejected)] if chosen else []


class Pair(NamedTuple):
    """Two pieces as numbers in the set of pieces."""

    chosen: int
    rejected: int


class PreferencePairs(torch.utils.data.Dataset[Pair]):
    """All pairs of a chosen and a rejected piece of one group.

    Args:
        rows: pieces with ``number``, ``group`` and ``role``, ``chosen`` or ``rejected``.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        roles: dict[tuple[int, str], list[int]] = {}
        for row in rows:
            roles.setdefault((row["group"], row["role"]), []).append(row["number"])
        groups = sorted({group for group, _ in roles})
        self.pairs = [
            Pair(*pair)
            for group in groups
            for pair in product(roles[group, "chosen"], roles[group, "rejected"])
        ]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> Pair:
        """The pair at (epoch, index), the same in every epoch."""
        return self.pairs[epoch_and_index[1]]
