"""Keys, clefs, metres, tempi, pitches and accidentals: ABC text and music21 objects, both ways."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from music21 import clef, duration, key, meter, tempo

from notagen.notation.keys import LETTERS, Key, accidental, alteration
from notagen.notation.tune import UNIT_LENGTH
from notagen.scores.marks import CLEFS, MODES

# treble, clef=bass, treble-8, alto1+15
_CLEF = re.compile(r"(?:clef=)?(?P<name>[a-z]+\d?)(?P<octave>[-+](?:8|15))?")
# 1/4=100, also behind words: "Allegro" 3/8 = 66.5
_TEMPO = re.compile(
    r"(?P<beat>[1-9]\d{0,2}/[1-9]\d{0,2})\s*+=\s*+(?P<number>\d{1,4}(?:\.\d{1,6})?)(?!\d)"
)
_MIN_TEMPO = 4  # quarters per minute; MIDI has no slower tempo
_METER = re.compile(r"\d{1,3}(?:\+\d{1,3}){0,15}/(?:1|2|4|8|16|32|64|128)|C\|?")
_TERM = re.compile(r"(\d+)/(\d+)")  # of music21's 3/8+2/4
_MAX_BEATS = 128  # music21 takes minutes over a bar of a thousand
_METERS = {"C": "common", "C|": "cut"}  # music21's names for ABC's signs
_KEY_NAME = re.compile(f"[A-G][#b]?(?:{'|'.join(MODES.values())})?")
_CLEF_BY_NAME = {name: sign_and_line for sign_and_line, name in CLEFS.items()}
_MODE_BY_NAME = {name: mode for mode, name in MODES.items()} | {"m": "minor", "maj": "major"}
_OCTAVES = {0: "", -1: "-8", 1: "+8", -2: "-15", 2: "+15"}
_OCTAVES_BY_NAME = {name: octaves for octaves, name in _OCTAVES.items()}


def key_name(signature: key.KeySignature) -> str:
    """Text of the ``K:`` field: ``Bb``, ``Emin``; for a signature without mode, the major key.

    A signature that no field can name, of nine flats for instance, is C: its notes then have
    accidentals.
    """
    if isinstance(signature, key.Key):
        name = str(signature.tonic.name).replace("-", "b") + MODES.get(signature.mode, "")
    else:
        name = _major_key(signature.sharps or 0)
    return name if _KEY_NAME.fullmatch(name) else "C"


@lru_cache(maxsize=64)
def _major_key(sharps: int) -> str:
    return str(key.KeySignature(sharps).asKey("major").tonic.name).replace("-", "b")


def key_signature(name: Key) -> key.KeySignature:
    """The music21 key of a ``K:`` field; a bare signature where no tonic is named."""
    mode = _MODE_BY_NAME.get(name.mode.strip().lower()[:3], "major")
    if not name.tonic or name.tonic.lower() in ("none", "hp"):
        return key.KeySignature(name.fifths)
    return key.Key(name.tonic.replace("b", "-"), mode)


def clef_name(sign: clef.Clef) -> str:
    """A clef's ABC name, as in ``V:1 treble-8``; ``treble`` for clefs without one (tablature)."""
    if isinstance(sign, clef.PercussionClef):
        return "perc"
    return CLEFS.get((sign.sign, sign.line), "treble") + _OCTAVES.get(sign.octaveChange, "")


def parse_clef(name: str) -> clef.Clef | None:
    """The clef of an ABC name; None when the word names no clef."""
    match = _CLEF.fullmatch(name)
    if match is None:
        return None
    if match["name"] == "perc":
        return clef.PercussionClef()
    if match["name"] not in _CLEF_BY_NAME:
        return None
    sign, line = _CLEF_BY_NAME[match["name"]]
    return clef.clefFromString(f"{sign}{line}", _OCTAVES_BY_NAME[match["octave"] or ""])


def meter_name(signature: meter.TimeSignature) -> str:
    """Text of the ``M:`` field: ``3/4``; a metre of several terms has one unit, ``3+4/8``."""
    terms = [(int(n), int(d)) for n, d in _TERM.findall(signature.ratioString)]
    unit = max(d for _, d in terms)
    return "+".join(str(n * unit // d) for n, d in terms) + f"/{unit}"


def parse_meter(text: str) -> meter.TimeSignature | None:
    """The metre of an ``M:`` field; None for free metre no beats, and more than 128."""
    text = text.replace("(", "").replace(")", "").strip()
    if not _METER.fullmatch(text):
        return None
    beats = [int(number) for number in text.partition("/")[0].split("+") if number.isdigit()]
    return (
        meter.TimeSignature(_METERS.get(text, text))
        if sum(beats) <= _MAX_BEATS and 0 not in beats
        else None
    )


def parse_unit(text: str) -> Fraction | None:
    """The unit length of an ``L:`` field in quarters; None when it names no length."""
    return Fraction(text) * 4 if UNIT_LENGTH.fullmatch(text) else None


def tempo_text(mark: tempo.MetronomeMark) -> str:
    """Text of the ``Q:`` field, ``1/4=100``; empty for a tempo without a number."""
    printed = mark.number is not None and not mark.numberImplicit
    number = mark.number if printed else mark.numberSounding
    if number is None:
        return ""
    beat = Fraction(mark.referent.quarterLength) / 4
    return f"{beat.numerator}/{beat.denominator}={number:g}"


def parse_tempo(text: str) -> tempo.MetronomeMark | None:
    """The tempo of a ``Q:`` field; None without a number, or when it is too slow for MIDI."""
    match = _TEMPO.search(text)
    if match is None:
        return None
    quarters, number = Fraction(match["beat"]) * 4, Fraction(match["number"])
    if quarters * number < _MIN_TEMPO:
        return None
    beat = duration.Duration(quarters)
    if beat.tuplets or beat.type in ("complex", "inexpressible"):  # no one note lasts as long
        quarters, number = Fraction(1), quarters * number
    return tempo.MetronomeMark(number=float(number), referent=float(quarters))


class Spelling:
    """Accidentals in force in one voice: the key's, then the bar's, per letter and octave.

    A note that ends a tie keeps the accidental of the note it is tied to, without changing the
    bar's: in ``_e-|e e`` the first two are flat, the third is as in the key.
    """

    def __init__(self, key: Key) -> None:
        self._bar: dict[tuple[str, int], int] = {}
        self.set_key(key)

    def set_key(self, key: Key) -> None:
        """Start a new key signature; it cancels the bar's accidentals."""
        self._key = dict(zip(LETTERS, key.signature, strict=True))
        self._bar.clear()

    def start_bar(self) -> None:
        """Forget the accidentals of the last bar."""
        self._bar.clear()

    def sign(self, letter: str, octave: int, alter: int, tied: int | None, shown: bool) -> str:
        """The accidental to write before a note, empty for none; the bar keeps it.

        ``tied`` is the alteration of the note tied to this one, or None; ``shown`` asks for an
        accidental even where it is not needed, as a courtesy.
        """
        if alter == self._expected(letter, octave, tied) and not shown:
            return ""
        self._bar[letter, octave] = alter
        return accidental(alter)

    def alter(self, letter: str, octave: int, sign: str, tied: int | None) -> int:
        """The alteration of a written note: the inverse of :meth:`sign`."""
        if sign:
            self._bar[letter, octave] = alteration(sign)
        return alteration(sign) if sign else self._expected(letter, octave, tied)

    def _expected(self, letter: str, octave: int, tied: int | None) -> int:
        return self._bar.get((letter, octave), self._key[letter]) if tied is None else tied


def abc_letter(letter: str, octave: int) -> str:
    """ABC of a pitch without its accidental; octave 4 begins with middle C."""
    if octave >= 5:
        return letter.lower() + "'" * (octave - 5)
    return letter + "," * (4 - octave)
