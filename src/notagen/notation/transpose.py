"""Transposition of a whole score to another key signature, in one pass over its notes.

Every note of a section moves by one interval, so that its distance from the key signature stays:
a bar without accidentals has none afterwards. Accidentals last to the end of the bar, for their
octave alone (as in MusicXML); those that change nothing are not written again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from notagen.errors import NotationError
from notagen.notation.bars import DECORATION, FIELD, PITCH, QUOTED, Bar
from notagen.notation.keys import (
    LETTERS,
    Key,
    accidental,
    alteration,
    nearest_semitones,
    parse_key,
    transposed_name,
)

_NATURAL = (0, 2, 4, 5, 7, 9, 11)  # semitones of C D E F G A B
_NOTE = re.compile(PITCH)
_TOKEN = re.compile(rf"([A-Ga-g][,']*|{QUOTED}|{DECORATION}|{FIELD}|&|(?:\^+|_+|=)[A-Ga-g][,']*)")
_CHANGING = re.compile(r"[\^_=\"&]|\[K:")  # what makes a bar more than letters to be shifted
_PERCUSSION = re.compile(r'V:\s*(\S+)\s(?:[^"]|"[^"]*")*?\bperc\b')
_ROOT = r"[A-G][#b]?"
_CHORD_SYMBOL = re.compile(
    rf'"({_ROOT})(?:maj|min|dim|aug|sus|add|alt|m|M|o|\+|-|\(|\)|,|[#b]?\d)*(?:/({_ROOT}))?"'
)


def transpose(
    header: Iterable[str], bars: Iterable[Mapping[str, Bar]], fifths: int
) -> tuple[tuple[str, ...], tuple[Mapping[str, Bar], ...]]:
    """Move header and music by a number of fifths, in the direction that is nearest in pitch.

    Annotations, clefs and percussion voices stay; chord symbols move. Key changes move by the
    same interval; one that would have more than seven sharps or flats becomes its enharmonic key.
    """
    lines = tuple(header)
    semitones = nearest_semitones(fifths)
    start = _Section.of(main_key(lines), fifths, semitones)
    sections: dict[str, _Section] = {}
    unpitched = {match[1] for line in lines if (match := _PERCUSSION.match(line))}
    moved: list[Mapping[str, Bar]] = []
    for voices in bars:
        moved_voices = {}
        for voice, bar in voices.items():
            if voice not in unpitched:
                section = sections.get(voice, start)
                text, sections[voice] = section.move(bar.text)
                bar = Bar(text, bar.right, bar.left)
            moved_voices[voice] = bar
        moved.append(moved_voices)
    return tuple(_moved_line(line, fifths) for line in lines), tuple(moved)


def main_key(header: Iterable[str]) -> Key:
    """The key of the header's first ``K:`` line that names one; ValueError without it."""
    fields = (line[2:] for line in header if line.startswith("K:"))
    key = next((key for field in fields if (key := parse_key(field))), None)
    if key is None:
        raise NotationError("the header holds no K: line that names a key")
    return key


class _Section:
    """Music under one key signature, on its way to another.

    Pitches are counted in steps of the scale: ``C`` is 0, ``c`` is 7, ``B,`` is -1.
    """

    def __init__(self, key: Key, fifths: int, semitones: int) -> None:
        self.fifths, self.semitones = fifths, semitones
        target = key.moved(fifths)
        self.source, self.target = key.signature, target.signature
        change = target.fifths - key.fifths
        octaves = (semitones - 7 * change) // 12
        self.change, self.steps = change, 4 * change + 7 * octaves
        self.shifted = _Shifted(self.steps)

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, key: Key, fifths: int, semitones: int) -> _Section:
        return cls(key, fifths, semitones)

    def move(self, text: str) -> tuple[str, _Section]:
        """Move one bar; returns with it the section that the next bar is in."""
        parts = _TOKEN.split(text)  # every other one is a token
        section = self
        if _CHANGING.search(text):
            parts[1::2], section = self._move_altered(parts[1::2])
        else:
            parts[1::2] = map(self.shifted.__getitem__, parts[1::2])
        return "".join(parts), section

    def _move_altered(self, tokens: Sequence[str]) -> tuple[list[str], _Section]:
        section = self
        before: dict[int, int] = {}  # alterations that were written in this bar, by place
        after: dict[int, int] = {}  # and those that are written now
        moved = []
        for token in tokens:
            note = _note(token)
            if note:
                place, written = note
                if written is not None:
                    before[place] = written
                if place in before or place + section.steps in after:
                    token = section._move_note(place, before, after)
                else:
                    token = section.shifted[token]
            elif token.startswith("[K:") and (key := parse_key(token[3:-1])):
                section = _Section.of(key, self.fifths, self.semitones)
                token = f"[K:{key.moved(self.fifths)}]"
                before, after = {}, {}
            elif token.startswith('"'):
                token = section._chord_symbol(token)
            elif token == "&":
                before, after = {}, {}
            moved.append(token)
        return moved, section

    def _move_note(self, place: int, before: Mapping[int, int], after: dict[int, int]) -> str:
        altered = before.get(place, self.source[place % 7])
        place, altered = _moved(place, altered, self.steps, self.semitones)
        if after.get(place, self.target[place % 7]) == altered:
            return _pitch(place)
        after[place] = altered
        return accidental(altered) + _pitch(place)

    def _chord_symbol(self, quoted: str) -> str:
        match = _CHORD_SYMBOL.fullmatch(quoted)
        if not match:
            return quoted
        root = transposed_name(match[1], self.change)
        quality = quoted[1 + len(match[1]) : -1].partition("/")[0]
        bass = "/" + transposed_name(match[2], self.change) if match[2] else ""
        return f'"{root}{quality}{bass}"'


class _Shifted(dict[str, str]):
    """Tokens of a bar without accidentals, each moved by the same number of steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def __missing__(self, token: str) -> str:
        note = _note(token)
        moved = _pitch(note[0] + self.steps) if note else token
        self[token] = moved
        return moved


@lru_cache(maxsize=4096)
def _note(token: str) -> tuple[int, int | None] | None:
    """Place of a note, and the alteration that is written before it; None for other tokens."""
    match = _NOTE.fullmatch(token)
    if not match:
        return None
    letter, octave, sign = match["letter"], match["octave"], match["accidental"]
    octaves = letter.islower() + octave.count("'") - octave.count(",")
    return LETTERS.index(letter.upper()) + 7 * octaves, alteration(sign) if sign else None


@lru_cache(maxsize=256)
def _pitch(place: int) -> str:
    octave, step = divmod(place, 7)
    letter = LETTERS[step]
    return letter.lower() + "'" * (octave - 1) if octave > 0 else letter + "," * -octave


@lru_cache(maxsize=1 << 14)
def _moved(place: int, altered: int, steps: int, semitones: int) -> tuple[int, int]:
    """Where a note goes; respelled on a neighbouring step rather than altered by three."""
    sounding = _semitones(place) + altered + semitones
    place += steps
    while abs(altered := sounding - _semitones(place)) > 2:
        place += 1 if altered > 0 else -1
    return place, altered


def _semitones(place: int) -> int:
    octave, step = divmod(place, 7)
    return 12 * octave + _NATURAL[step]


def _moved_line(line: str, fifths: int) -> str:
    key = parse_key(line[2:]) if line.startswith("K:") else None
    return line if key is None else f"K:{key.moved(fifths)}"
