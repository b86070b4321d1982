"""Scores with typing errors: real ones, in which characters are inserted, deleted and repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

SIGNS = "[](){}|:&!\"%-<>/^_='.,~\\\n\r\t $0123456789ABCDEFGabcdefgzxZXKLMQVr"


def mutated(text: str, rng: random.Random) -> str:
    """A text after one to four typing errors."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.choice((1, 1, 2, 8)))
        match rng.choice(("insert", "delete", "repeat", "replace", "move")):
            case "insert":
                text = text[:start] + rng.choice(SIGNS) + text[start:]
            case "delete":
                text = text[:start] + text[end:]
            case "repeat":
                text = text[:end] + text[start:end] * rng.randint(1, 3) + text[end:]
            case "replace":
                text = text[:start] + rng.choice(SIGNS) + text[end:]
            case "move":
                place = rng.randrange(len(text))
                text = text[:place] + text[start:end] + text[place:]
    return text


def mutations(texts: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """The same ``count`` texts for a seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield mutated(rng.choice(texts), rng)
