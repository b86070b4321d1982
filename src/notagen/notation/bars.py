"""Tokens and durations of one voice's bar.

Follows the ABC standard 2.1, section 4. Lengths are fractions of the unit note length ``L:``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Literal, NamedTuple, cast

from notagen.errors import NotationError

QUOTED = r'"[^"\n]*"'
ANNOTATION = r'"[\^_<>@][^"\n]*"'
DECORATION = r"![^!\s]+!"
# Brackets hold no other of their kind, and numbers and signs are bounded: so that a text of open
# brackets is read in linear time, and no number outgrows what can be computed and printed.
FIELD = r"\[[A-Za-z]:[^][\n]*\]"
PITCH = r"(?P<accidental>\^{1,3}|_{1,3}|=)?(?P<letter>[A-Ga-g])(?P<octave>[,']{0,9})"
LENGTH = r"\d{0,4}(?:/{1,6}(?:[1-9]\d{0,2})?)?"
# A quoted text without its quotes, such as Am7/G, C7(#9), Bbsus4.
CHORD_SYMBOL = re.compile(
    r"(?P<root>[A-G][#b]?)"
    r"(?P<kind>(?:maj|min|dim|aug|sus|add|alt|m|M|o|[-+(),#b\d])*)"
    r"(?:/(?P<bass>[A-Ga-g][#b]?))?"
)

# `"Am7"!f!{/g}[CE]2-(3^F,G/A>B` is quoted, decoration, grace, chord, tie, tuplet, then notes with a
# broken rhythm. The order of the alternatives matters: `[K:` and `[1` are tried before a chord, and
# `(3` before a slur.
TOKEN = re.compile(
    rf"""(?P<quoted>{QUOTED})
    |(?P<decoration>{DECORATION}|[.~H-Wh-w])
    |(?P<field>{FIELD})
    |(?P<note>{PITCH}(?P<length>{LENGTH}))
    |(?P<rest>[zxZX](?P<rest_length>{LENGTH}))
    |(?P<ending>\[\d[\d,.-]*)
    |(?P<chord>\[(?P<notes>(?:{QUOTED}|{DECORATION}|[^]["!|])*+)\](?P<chord_length>{LENGTH}))
    |(?P<grace>\{{(?P<ornament>[^{{}}]*)\}})
    |(?P<tuplet>\((?P<p>[1-9]\d|[2-9])(?::(?P<q>\d{{0,3}}))?(?::(?P<r>\d{{0,3}}))?)
    |(?P<slur>[()])
    |(?P<tie>-)
    |(?P<broken><{{1,8}}(?!<)|>{{1,8}}(?!>))
    |(?P<overlay>&)
    |(?P<spacer>y\d*)
    |(?P<space>[\s`]+)
    |(?P<other>.)""",
    re.VERBOSE,
)

Kind = Literal[
    "quoted",  # "Am7" or "^Presto", quotes included
    "decoration",  # !f!, !trill(!, or a single letter such as . T u
    "field",  # [K:Eb]
    "note",
    "rest",  # z or x, invisible; Z or X, whole bars
    "chord",  # [CEG]2: the notes, decorations and ties between the brackets are ``inner``
    "grace",  # {/ga}: its notes are ``inner``
    "tuplet",  # (3 or (p:q:r, see ``tuplet``
    "slur",  # ( or )
    "tie",
    "broken",  # > < >> <<
    "overlay",  # &
    "ending",  # [1 without a barline before it
    "spacer",  # y
    "space",
    "other",  # not ABC
]

_LENGTH = re.compile(LENGTH)
_ONE = Fraction(1)
_SOUNDING = re.compile(r"[A-WYa-wy]")  # all letters but x and z, in either case

# (p alone means p notes in the time of q (ABC 2.1, section 4.13); 5, 7 and 9 as in a simple metre,
# more, of which the standard says nothing, as many as the power of two below
_TUPLET_TIME = {2: 3, 3: 2, 4: 3, 5: 2, 6: 2, 7: 2, 8: 3, 9: 2}


class Bar(NamedTuple):
    """One voice's music in one bar.

    ``text`` is the music between two barlines, outer blanks stripped, inline fields included
    (``[K:Eb] F2 F2 F=E F2``). ``right`` is the barline that closes the bar, with its ending
    number (``|``, ``||``, ``|]``, ``:|``, ``|:``, ``::``, ``:|2``, ``|1``; empty when the text
    ends without one). ``left`` is a barline that opens it, and is only ever set in a voice's
    first bar.
    """

    text: str
    right: str = "|"
    left: str = ""


class Token(NamedTuple):
    """One token of a bar; ``"".join(t.text for t in tokens(bar))`` is the bar.

    ``letter`` (``A``-``G``, or the rest's own letter), ``octave`` (``C`` is in 4, ``c`` in 5) and
    ``accidental`` (as written, ``""`` for none) describe notes. ``length`` is the written length
    of a note, rest or chord in units of ``L:``; ``duration`` is its length in time, after tuplets
    and broken rhythm: 0 for grace notes, and the chord's own for the notes in a chord.
    ``tuplet`` is (p, q, r): p in the time of q for the next r notes.
    """

    kind: Kind
    text: str
    accidental: str = ""
    letter: str = ""
    octave: int = 0
    length: Fraction = Fraction(0)
    duration: Fraction = Fraction(0)
    inner: tuple[Token, ...] = ()
    tuplet: tuple[int, int, int] | None = None


def tokens(text: str) -> list[Token]:
    """Split one bar's text (barlines excluded) into tokens; never fails, see kind ``other``."""
    return _timed(_written(text))


def _written(text: str) -> Iterator[Token]:
    for match in TOKEN.finditer(text):
        kind = cast(Kind, match.lastgroup)
        found = match[0]
        if kind == "note":
            letter = match["letter"]
            octave = match["octave"]
            yield Token(
                kind,
                found,
                accidental=match["accidental"] or "",
                letter=letter.upper(),
                octave=4 + letter.islower() + octave.count("'") - octave.count(","),
                length=note_length(match["length"]),
            )
        elif kind == "rest":
            yield Token(kind, found, letter=found[0], length=note_length(match["rest_length"]))
        elif kind == "chord":
            inner = tuple(_written(match["notes"]))
            own = next((t.length for t in inner if t.kind in ("note", "rest")), Fraction(0))
            yield Token(kind, found, length=own * note_length(match["chord_length"]), inner=inner)
        elif kind == "grace":
            yield Token(kind, found, inner=tuple(_written(match["ornament"])))
        elif kind == "tuplet":
            p = int(match["p"])
            q = int(match["q"] or 0) or _TUPLET_TIME.get(
                p, 1 << (p - 1).bit_length() - 1
            )  # (3:0: occurs in generated text
            yield Token(kind, found, tuplet=(p, q, int(match["r"] or 0) or p))
        else:
            yield Token(kind, found)


def _timed(written: Iterator[Token]) -> list[Token]:
    """Durations of notes, rests and chords, after tuplets and broken rhythm."""
    timed: list[Token] = []
    last = -1  # index of the last note, which a > or < changes
    swing = ratio = _ONE
    remaining = 0
    for token in written:
        # Signs between the notes of `C>!f!D` change nothing: swing waits for the next note.
        if token.kind == "tuplet" and token.tuplet:
            p, q, remaining = token.tuplet
            ratio = Fraction(q, p)
        elif token.kind == "broken" and last >= 0:
            short = Fraction(1, 2 ** len(token.text))  # C>D is 3/2 and 1/2, C>>D 7/4 and 1/4
            before, swing = (2 - short, short) if token.text[0] == ">" else (short, 2 - short)
            timed[last] = _lasting(timed[last], timed[last].duration * before)
        elif token.kind in ("note", "rest", "chord"):
            duration = token.length if swing is _ONE else token.length * swing
            if remaining:
                duration *= ratio
                remaining -= 1
            token = _lasting(token, duration)
            last, swing = len(timed), _ONE
        timed.append(token)
    return timed


def _lasting(token: Token, duration: Fraction) -> Token:
    # Built by position, since _replace is slower and this is called for every note.
    kind, text, accidental, letter, octave, length, _, inner, tuplet = token
    inner = tuple(note._replace(duration=duration) for note in inner)
    return Token(kind, text, accidental, letter, octave, length, duration, inner, tuplet)


@lru_cache(maxsize=1 << 16)
def bar_duration(text: str) -> Fraction | None:
    """Length of a bar in units of ``L:``, that of the longest voice where ``&`` overlays voices.

    None where it is unknown: whole-bar rests ``Z X``, a change of ``L:`` inside the bar, text that
    is not ABC.
    """
    overlaid = [Fraction(0)]
    for token in tokens(text):
        if _untimed(token):
            return None
        if token.kind == "overlay":
            overlaid.append(Fraction(0))
        overlaid[-1] += token.duration
    return max(overlaid)


def _untimed(token: Token) -> bool:
    return (
        token.kind == "other"
        or (token.kind == "rest" and token.letter in "ZX")
        or (token.kind == "field" and token.text.startswith("[L:"))
    )


def is_resting(text: str) -> bool:
    """True if a bar holds no letter other than ``z Z x X``, so that it may be left out.

    A word, a decoration or a field counts as music: leaving it out would lose it.
    """
    return not _SOUNDING.search(text)


@lru_cache(maxsize=4096)
def note_length(text: str) -> Fraction:
    """Parse a length as written after a note: ``""``, ``3``, ``/``, ``//``, ``3/2``, ``/4``.

    Raises NotationError (a ValueError) for anything else, and numbers of more than four digits.
    """
    if not _LENGTH.fullmatch(text):
        raise NotationError(f"{text[:20]} is not the length of a note; write it as 3, / or 3/2")
    numerator, *divisors = text.split("/")
    length = Fraction(int(numerator or 1))
    for divisor in divisors:
        length /= int(divisor or 2)
    return length


def print_length(length: Fraction) -> str:
    """Write a length as it stands after a note: ``""``, ``4``, ``3/2``, ``/``, ``/4``."""
    if length.denominator == 1:
        return "" if length == 1 else str(length.numerator)
    if length == Fraction(1, 2):
        return "/"
    return f"{'' if length.numerator == 1 else length.numerator}/{length.denominator}"
