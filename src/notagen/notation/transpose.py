"""Transposition of a whole score to another key signature, in one pass over its notes.

All notes under one key signature move by one interval, so that a bar without accidentals has none
afterwards. Accidentals last to the end of the bar, for their octave alone (as in MusicXML); those
that change nothing are not written again.

A position is a step of the scale over all octaves, without accidental: ``C`` is 0, ``c`` is 7,
``B,`` is -1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from notagen.notation.bars import CHORD_SYMBOL, DECORATION, FIELD, PITCH, QUOTED, Bar
from notagen.notation.keys import (
    LETTERS,
    NATURALS,
    Key,
    accidental,
    alteration,
    main_key,
    nearest_semitones,
    parse_key,
    transposed_name,
)

_NOTE = re.compile(PITCH)
# re.split by a group yields tokens at odd indices, the text between them (lengths, rests) at even
# ones. A note without accidental comes first, since nearly all are.
_PLAIN_NOTE = "[A-Ga-g][,']{0,9}"
_TOKEN = re.compile(
    rf"({_PLAIN_NOTE}|{QUOTED}|{DECORATION}|{FIELD}|&|(?:\^{{1,3}}|_{{1,3}}|=){_PLAIN_NOTE})"
)
_CHANGING = re.compile(r"[\^_=\"&]|\[K:")  # a bar with none of these needs only its letters shifted
# V:2 nm="Drums" clef=perc; `perc` inside quotes is a name. Its notes are drums, not pitches.
_PERCUSSION = re.compile(r'V:\s*(\S+)\s(?:[^"]|"[^"]*")*?\bperc\b')


def transpose(
    header: Iterable[str], bars: Iterable[Mapping[str, Bar]], fifths: int
) -> tuple[tuple[str, ...], tuple[Mapping[str, Bar], ...]]:
    """Transpose header and music by a number of fifths, to the nearest octave.

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


class _Section:
    """Transposition of the music under one key signature.

    Attributes:
        fifths, semitones: the interval of the whole transposition, for later key changes.
        source, target: alterations of C, D, E, F, G, A, B before and after.
        change: fifths from this section's key to its target, without the detour of an enharmonic
            key: 12 less or more than ``fifths`` past seven sharps or flats.
        steps: positions by which its notes move.
        shifted: tokens without accidental, moved.
    """

    def __init__(self, key: Key, fifths: int, semitones: int) -> None:
        self.fifths, self.semitones = fifths, semitones
        target = key.moved(fifths)
        self.source, self.target = key.signature, target.signature
        change = target.fifths - key.fifths
        # A fifth is 7 semitones and 4 steps, an octave 12 and 7; what fifths exceed, octaves take.
        octaves = (semitones - 7 * change) // 12
        self.change, self.steps = change, 4 * change + 7 * octaves
        self.shifted = _Shifted(self.steps)

    @classmethod
    @lru_cache(maxsize=1024)
    def of(cls, key: Key, fifths: int, semitones: int) -> _Section:
        """Cached constructor: a corpus has few keys, and ``shifted`` fills up with use."""
        return cls(key, fifths, semitones)

    def move(self, text: str) -> tuple[str, _Section]:
        """Transpose one bar; returns its text and the section of the next bar."""
        parts = _TOKEN.split(text)
        section = self
        if _CHANGING.search(text):
            parts[1::2], section = self._move_altered(parts[1::2])
        else:
            parts[1::2] = map(self.shifted.__getitem__, parts[1::2])
        return "".join(parts), section

    def _move_altered(self, tokens: Sequence[str]) -> tuple[list[str], _Section]:
        section = self
        before: dict[int, int] = {}  # position to alteration, as written in this bar so far
        after: dict[int, int] = {}  # those of the transposed bar
        moved = []
        for token in tokens:
            note = _note(token)
            if note:
                position, written = note
                if written is not None:
                    before[position] = written
                if position in before or position + section.steps in after:
                    token = section._move_note(position, before, after)
                else:
                    token = section.shifted[token]
            elif token.startswith("[K:") and (key := parse_key(token[3:-1])):
                section = _Section.of(key, self.fifths, self.semitones)
                token = f"[K:{key.moved(self.fifths)}]"
                before, after = {}, {}
            elif token.startswith('"'):
                token = section._chord_symbol(token)
            elif token == "&":  # an overlaid voice starts over at the bar's beginning
                before, after = {}, {}
            moved.append(token)
        return moved, section

    def _move_note(self, position: int, before: Mapping[int, int], after: dict[int, int]) -> str:
        altered = before.get(position, self.source[position % 7])
        position, altered = _moved(position, altered, self.steps, self.semitones)
        if after.get(position, self.target[position % 7]) == altered:
            return _pitch(position)
        after[position] = altered
        return accidental(altered) + _pitch(position)

    def _chord_symbol(self, quoted: str) -> str:
        match = CHORD_SYMBOL.fullmatch(quoted, 1, len(quoted) - 1)
        if not match:
            return quoted
        root = transposed_name(match["root"], self.change)
        bass = match["bass"]
        over = "/" + transposed_name(bass.capitalize(), self.change) if bass else ""
        return f'"{root}{match["kind"]}{over}"'


class _Shifted(dict[str, str]):
    """Cache from a token without accidental to the token ``steps`` positions higher."""

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
    """Position of a note and its written alteration (None without); None for other tokens."""
    match = _NOTE.fullmatch(token)
    if not match:
        return None
    letter, octave, sign = match["letter"], match["octave"], match["accidental"]
    octaves = letter.islower() + octave.count("'") - octave.count(",")
    return LETTERS.index(letter.upper()) + 7 * octaves, alteration(sign) if sign else None


@lru_cache(maxsize=256)
def _pitch(position: int) -> str:
    octave, step = divmod(position, 7)
    letter = LETTERS[step]
    return letter.lower() + "'" * (octave - 1) if octave > 0 else letter + "," * -octave


@lru_cache(maxsize=1 << 14)
def _moved(position: int, altered: int, steps: int, semitones: int) -> tuple[int, int]:
    """Transposed position and alteration; respelled on the next step rather than altered by 3."""
    sounding = _semitones(position) + altered + semitones
    position += steps
    while abs(altered := sounding - _semitones(position)) > 2:
        position += 1 if altered > 0 else -1
    return position, altered


def _semitones(position: int) -> int:
    octave, step = divmod(position, 7)
    return 12 * octave + NATURALS[step]


def _moved_line(line: str, fifths: int) -> str:
    key = parse_key(line[2:]) if line.startswith("K:") else None
    return line if key is None else f"K:{key.moved(fifths)}"
