"""Sounding pitches of a voice in semitones, with key signatures and accidentals applied."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from notagen.notation.bars import Token, tokens
from notagen.notation.keys import LETTERS, NATURALS, Key, alteration, header_key, parse_key
from notagen.notation.tune import Tune

_NO_SIGNATURE: Final = Key(0, "none")

Sound = tuple[list[int], Fraction]
"""Pitches in semitones (``C`` is 48), ascending, none for a rest; duration in units of ``L:``."""


def sounds(tune: Tune, voice: str) -> Iterator[Sound]:
    """Pitches and duration of each note, chord, rest and grace note of a voice."""
    return (sound for bar in sounds_by_bar(tune, voice) for sound in bar)


def sounds_by_bar(tune: Tune, voice: str) -> Iterator[list[Sound]]:
    """Pitches and durations of a voice, one list per bar; empty where the voice is left out.

    A header without a key has no accidentals.
    """
    key = header_key(tune.header) or _NO_SIGNATURE
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
    index = LETTERS.index(note.letter)
    step = (note.letter, note.octave)
    if note.accidental:
        altered[step] = alteration(note.accidental)
    return 12 * note.octave + NATURALS[index] + altered.get(step, signature[index])
