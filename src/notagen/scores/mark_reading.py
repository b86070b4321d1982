"""Dynamics, signposts, words, chord symbols and spans, from ABC's text to music21."""

from __future__ import annotations

import re
from contextlib import suppress

from music21 import dynamics, expressions, harmony, spanner
from music21.base import Music21Object

from notagen.scores.marks import DYNAMICS, SIGNPOSTS, SPANS

_SIGNPOST_OF = {sign: kind for kind, sign in SIGNPOSTS.items()}
_PLACEMENTS = {"^": "above", "_": "below", "<": None, ">": None, "@": None}
_CHORD_SYMBOL = re.compile(
    r"(?P<root>[A-G][b#]?)(?P<kind>(?:maj|min|dim|aug|sus|add|m|M|[+\d()#b-])*)"
    r"(?P<bass>/[A-Ga-g][b#]?)?"
)

OPENING_SPANS = {opening: kind for kind, (opening, _) in SPANS.items()}
CLOSING_SPANS = {closing: kind for kind, (_, closing) in SPANS.items()}


def make_sign(decoration: str) -> Music21Object | None:
    """Return the dynamic or signpost of a decoration such as ``!mf!``; None for other signs."""
    if decoration.strip("!") in DYNAMICS:
        return dynamics.Dynamic(decoration.strip("!"))
    return _SIGNPOST_OF[decoration]() if decoration in _SIGNPOST_OF else None


def make_words(quoted: str) -> Music21Object | None:
    """Return the text or chord symbol of a quoted string (quotes taken off); None when empty."""
    placed = quoted[:1] in _PLACEMENTS
    words = quoted[placed:].strip()
    if not words:
        return None
    match = None if placed else _CHORD_SYMBOL.fullmatch(words)
    if match:
        root = match["root"].replace("b", "-")
        bass = match["bass"] or ""
        bass = bass[:2].upper() + bass[2:].replace("b", "-")
        with suppress(Exception):  # music21 fails in any way on words that only begin as one
            return harmony.ChordSymbol(root + match["kind"] + bass)
    text = expressions.TextExpression(words)
    text.placement = _PLACEMENTS.get(quoted[:1])
    return text


def make_span(kind: str) -> spanner.Spanner:
    """Return an empty wedge, octave line or trill line, by its name in ``SPANS``."""
    match kind:
        case "Crescendo":
            return dynamics.Crescendo()
        case "Diminuendo":
            return dynamics.Diminuendo()
        case "TrillExtension":
            return expressions.TrillExtension()
    # ABC's pitches under an octave line are those that sound.
    return spanner.Ottava(type=kind, transposing=False)
