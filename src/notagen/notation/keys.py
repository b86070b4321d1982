"""Key signatures: the ``K:`` field, and keys on the circle of fifths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from notagen.errors import NotationError, UserError

KEYS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#")
"""The 15 major signatures, from seven flats to seven sharps."""

LETTERS = "CDEFGAB"
NATURALS = (0, 2, 4, 5, 7, 9, 11)
"""Semitones of C, D, E, F, G, A, B above C."""

_BY_FIFTHS = "FCGDAEB"
# Fifths from the major key of a tonic to the mode on it: D dorian has the signature of C, not of D.
_MODES = {"maj": 0, "ion": 0, "lyd": 1, "mix": -1, "dor": -2, "min": -3, "aeo": -3}
_MODES |= {"": 0, "m": -3, "phr": -4, "loc": -5}
# `F#m ^g clef=bass`: tonic F#, mode m, accidentals ^g, and the rest. An empty tonic is matched only
# in an empty field, or before accidentals, by the lookahead; M is a mode only where no word such as
# `Mix` begins with it.
_FIELD = re.compile(
    r"""(?P<tonic>HP|Hp|none|[A-G][#b]?|(?=\s*$|[\^_=]))
    (?P<mode>\s*(?i:maj|min|ion|lyd|mix|dor|aeo|phr|loc|exp)[a-z]*|\s*[mM](?![A-Za-z]))?
    (?P<accidentals>(?:\s*(?:\^+|_+|=)[A-Ga-g])*)
    (?P<rest>$|\s.*)""",
    re.VERBOSE,
)
_ACCIDENTAL = re.compile(r"([\^_=]+)([A-Ga-g])")
_CLEF = re.compile(r"\s*(?:treble|bass|alto|tenor|soprano|mezzo|baritone|perc|\w+=)")


class Key(NamedTuple):
    """A key signature, and the text of the ``K:`` field that gives it.

    ``fifths`` counts the sharps (flats below zero) of the mode's signature; ``accidentals`` are
    those given on top of it (``K:G ^f``), as (letter, alteration). ``tonic``, ``mode`` and
    ``rest`` (clef and the like) are the text of the field around them.
    """

    fifths: int
    tonic: str
    mode: str = ""
    accidentals: tuple[tuple[str, int], ...] = ()
    rest: str = ""

    @property
    def signature(self) -> tuple[int, ...]:
        """Alterations of C, D, E, F, G, A, B in this key, in semitones."""
        return _signature(self.fifths, self.accidentals)

    @property
    def name(self) -> str:
        """The one of :data:`KEYS` with this signature, or with its enharmonic equivalent."""
        return KEYS[_within_seven(self.fifths) + 7]

    def moved(self, fifths: int) -> Key:
        """Transpose by a number of fifths; past seven sharps or flats, the enharmonic key."""
        if fifths == 0:
            return self
        target = _within_seven(self.fifths + fifths)
        change = target - self.fifths
        return self._replace(
            fifths=target,
            tonic=_name(target - _mode_fifths(self.mode)),
            accidentals=tuple(
                _letter_and_alteration(_fifths(letter, sign) + change)
                for letter, sign in self.accidentals
            ),
        )

    def __str__(self) -> str:
        accidentals = (f" {accidental(sign)}{letter.lower()}" for letter, sign in self.accidentals)
        return self.tonic + self.mode + "".join(accidentals) + self.rest


@lru_cache(maxsize=1024)
def _signature(fifths: int, accidentals: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    altered = dict(accidentals)
    # The n-th letter by fifths gets its first sharp with n + 1 sharps, its second seven later; in
    # flats the same backwards. Floor division covers both.
    return tuple(
        altered.get(letter, (fifths - _BY_FIFTHS.index(letter) + 6) // 7) for letter in LETTERS
    )


@lru_cache(maxsize=1024)
def parse_key(field: str) -> Key | None:
    """Parse the text after ``K:``; None where it names a clef alone.

    Modes go by their first three letters, as in the ABC standard 2.1, section 3.1.14; bagpipe
    keys ``HP`` and ``Hp`` have two sharps, ``none`` and an empty field have no signature. ``M``
    alone is major, as musicians and abc2midi read it: the standard has ``m`` for minor, no ``M``.
    Accidentals follow with or without a blank (``Dm^c``); ``exp`` names all that there are.
    Raises ValueError for anything else.
    """
    match = _FIELD.fullmatch(field.strip())
    if not match:
        if _CLEF.match(field):
            return None
        raise NotationError(f"K:{field} is not a key; write it as K:G, K:Emin or K:D mix")
    tonic, mode = match["tonic"], match["mode"] or ""
    if mode.strip() == "M":
        mode = ""
    if mode.strip().lower().startswith("exp") or (match["accidentals"] and not tonic):
        tonic, mode = "none", ""
    fifths = {"HP": 2, "Hp": 2, "none": 0, "": 0}.get(tonic)
    if fifths is None:
        fifths = _fifths(tonic[0], tonic.count("#") - tonic.count("b")) + _mode_fifths(mode)
    accidentals = tuple(
        (letter.upper(), alteration(sign))
        for sign, letter in _ACCIDENTAL.findall(match["accidentals"])
    )
    return Key(fifths, tonic, mode, accidentals, match["rest"])


def header_key(header: Iterable[str]) -> Key | None:
    """The key of the header's first ``K:`` line that names one; ``K:bass`` names a clef alone."""
    fields = (line[2:] for line in header if line.startswith("K:"))
    return next((key for field in fields if (key := parse_key(field))), None)


def main_key(header: Iterable[str]) -> Key:
    """The key of a header. Raises NotationError (a ValueError) when there is none."""
    key = header_key(header)
    if key is None:
        raise NotationError("the header holds no K: line that names a key")
    return key


def key_fifths(name: str) -> int:
    """Sharps of one of the 15 :data:`KEYS`, flats below zero. Raises ValueError for others."""
    if name not in KEYS:
        raise UserError(f"{name!r} is not one of the keys {' '.join(KEYS)}")
    return KEYS.index(name) - 7


def semitones_between(key: str, other: str) -> int:
    """The smallest interval from one of the :data:`KEYS` to another, -5 to 6 semitones."""
    return nearest_semitones(key_fifths(other) - key_fifths(key))


def keys_within(key: str, semitones: int) -> dict[str, int]:
    """Keys at most ``semitones`` away from ``key``, each with its interval (-5 to 6)."""
    intervals = {other: semitones_between(key, other) for other in KEYS}
    return {other: interval for other, interval in intervals.items() if abs(interval) <= semitones}


def nearest_semitones(fifths: int) -> int:
    """Semitones, -5 to 6, of an interval of ``fifths``, reduced to the nearest octave."""
    return (fifths * 7 + 5) % 12 - 5


def transposed_name(name: str, fifths: int) -> str:
    """Move a note name such as ``F#`` by a number of fifths; no double accidentals."""
    moved = _fifths(name[0], name.count("#") - name.count("b")) + fifths
    while not -8 <= moved <= 12:  # Fb to B#
        moved += 12 if moved < 0 else -12
    return _name(moved)


def alteration(accidental: str) -> int:
    """Semitones of an accidental as written: 1 for ``^``, -2 for ``__``, 0 for ``=``."""
    return accidental.count("^") - accidental.count("_")


def accidental(alteration: int) -> str:
    """The sign of an alteration in semitones; ``=`` for 0."""
    return "^" * alteration or "_" * -alteration or "="


def _within_seven(fifths: int) -> int:
    """The enharmonic signature of at most seven sharps or flats."""
    while fifths > 7:
        fifths -= 12
    while fifths < -7:
        fifths += 12
    return fifths


def _mode_fifths(mode: str) -> int:
    return _MODES[mode.strip().lower()[:3]]


def _fifths(letter: str, alteration: int) -> int:
    """Position on the circle of fifths, C being 0."""
    return _BY_FIFTHS.index(letter) - 1 + 7 * alteration


def _letter_and_alteration(fifths: int) -> tuple[str, int]:
    alteration, index = divmod(fifths + 1, 7)
    return _BY_FIFTHS[index], alteration


def _name(fifths: int) -> str:
    letter, alteration = _letter_and_alteration(fifths)
    return letter + ("#" * alteration if alteration > 0 else "b" * -alteration)
