"""Character n-gram model with Witten-Bell smoothing, a baseline for bits per character."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable


class CharacterModel:
    """N-gram model of characters, interpolated with shorter contexts.

    Witten-Bell interpolation (Witten and Bell 1991, method C): a context seen ``n`` times with
    ``t`` different successors gives the shorter context the weight ``t / (n + t)``. Below the
    empty context is the uniform distribution over 128 ASCII codes.

    Args:
        order: number of characters of the longest context.
    """

    def __init__(self, order: int = 6) -> None:
        self.order = order
        self.successors: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def fit(self, texts: Iterable[str]) -> CharacterModel:
        """Count the characters of texts after all contexts up to the order."""
        for text in texts:
            for i, character in enumerate(text):
                for length in range(min(i, self.order) + 1):
                    self.successors[text[i - length : i]][character] += 1
        self.totals = {context: seen.total() for context, seen in self.successors.items()}
        return self

    def bits_per_character(self, texts: Iterable[str]) -> float:
        """Mean of -log2 P(character | the characters before it in its text)."""
        bits, characters = 0.0, 0
        for text in texts:
            bits -= sum(math.log2(self._probability(text, i)) for i in range(len(text)))
            characters += len(text)
        return bits / characters

    def _probability(self, text: str, i: int) -> float:
        probability = 1 / 128
        for length in range(min(i, self.order) + 1):
            context = text[i - length : i]
            total = self.totals.get(context)
            if total is None:
                break
            seen = self.successors[context]
            probability = (seen[text[i]] + len(seen) * probability) / (total + len(seen))
        return probability
