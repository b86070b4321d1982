"""What a voice sounds like: pitches in semitones, accidentals and key signatures applied."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from notagen.notation.bars import Token, tokens
from notagen.notation.keys import LETTERS, Key, alteration, parse_key
from notagen.notation.tune import Tune

_NATURAL: Final = (0, 2, 4, 5, 7, 9, 11)  # semitones of C D E F G A B above C
_NO_SIGNATURE: Final = Key(0, "none")

Sound = tuple[list[int], Fraction]
"""Pitches in semitones, lowest first, none for a rest; and duration in units of ``L:``."""


def sounds(tune: Tune, voice: str) -> Iterator[Sound]:
    """Each note, chord, rest and grace note of a voice."""
    return (sound for bar in sounds_by_bar(tune, voice) for sound in bar)


def sounds_by_bar(tune: Tune, voice: str) -> Iterator[list[Sound]]:
    """The same, a list a bar; an empty one where the voice is left out.

    A header without a key has no accidentals.
    """
    fields = (line[2:] for line in tune.header if line.startswith("K:"))
    key = next((key for field in fields if (key := parse_key(field))), _NO_SIGNATURE)
    for voices in tune.bars:
        bar: list[Sound] = []
        altered: dict[tuple[str, int], int] = {}  # accidentals last to the end of the bar
        for token in tokens(voices[voice].text if voice in voices else ""):
            if token.text.startswith("[K:") and (changed := parse_key(token.text[3:-1])):
                key, altered = changed, {}
            elif token.kind in ("note", "rest", "chord", "grace"):
                notes = [note for note in token.inner or (token,) if note.kind == "note"]
                pitches = sorted(_pitch(note, key.signature, altered) for note in notes)
                bar.append((pitches, token.duration))
        yield bar


def _pitch(note: Token, signature: tuple[int, ...], altered: dict[tuple[str, int], int]) -> int:
    step = LETTERS.index(note.letter)
    place = (note.letter, note.octave)
    if note.accidental:
        altered[place] = alteration(note.accidental)
    return 12 * note.octave + _NATURAL[step] + altered.get(place, signature[step])
