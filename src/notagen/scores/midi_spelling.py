"""Names of MIDI pitches from the key signature and the notes around them.

After the algorithm PS13s1 of Meredith (2006): each pitch class near a note is a possible tonic and
votes, by how often it sounds, for the name that the note has in that tonic's chromatic scale (flat
second to raised fourth). Here the tonics are those nearest to the key signature on the line of
fifths, which decides between G flat and F sharp major.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_BEFORE, _AFTER = 10, 42  # notes of the context, as in PS13s1
_LETTERS = "FCGDAEB"
_SHARPEST, _FLATTEST = 19, -15  # B double sharp and F double flat on the line of fifths, C at 0
_SCALE = (0, 2, 4, 5, 7, 9, 11)


Name: TypeAlias = tuple[str, int, int]
"""Letter, alteration and octave of a pitch."""


def spell(pitches: Sequence[int], fifths: Sequence[int]) -> list[Name]:
    """Letter, alteration and octave of each pitch.

    Args:
        pitches: MIDI numbers of all notes of the piece, in the order of their onsets.
        fifths: sharps (negative: flats) of the key signature at each note.
    """
    if not pitches:
        return []
    classes = np.asarray(pitches) % 12
    keys = np.asarray(fifths)
    near = _context(classes)
    found = np.zeros(len(classes), dtype=int)
    for key in np.unique(keys):
        tonics = np.arange(key - 4, key + 8)  # seven fifths around the major and the minor tonic
        weights = near[:, tonics * 7 % 12]  # [n, 12]
        for pitch_class in np.unique(classes[keys == key]):
            lowest = tonics - 5  # the flat second; the raised fourth is 11 fifths above
            names = lowest + (pitch_class * 7 - lowest) % 12
            # The name nearest to the key's own notes wins a tie.
            distances = {int(name): abs(int(name) - int(key) - 3) for name in names}
            choices = sorted(distances, key=distances.__getitem__)
            votes = np.stack([weights[:, names == name].sum(axis=1) for name in choices])
            rows = (keys == key) & (classes == pitch_class)
            found[rows] = np.asarray(choices)[votes.argmax(axis=0)[rows]]
    return [_name(pitch, int(name)) for pitch, name in zip(pitches, found, strict=True)]


def likely_fifths(pitches: Sequence[int]) -> int:
    """Sharps (negative: flats) of the key signature that most of the notes belong to."""
    counts = np.bincount(np.asarray(pitches, dtype=int) % 12, minlength=12)
    # The scale of a signature of k sharps is the fifths k - 1 (F in C major) to k + 5 (B).
    inside = {k: counts[np.arange(k - 1, k + 6) * 7 % 12].sum() for k in range(-6, 7)}
    return max(inside, key=lambda k: (inside[k], -abs(k), k))


def _context(classes: NDArray[np.int_]) -> NDArray[np.int_]:
    """Counts of each pitch class near each note, [n, 12]."""
    length = len(classes)
    sums = np.zeros((length + 1, 12), dtype=int)
    sums[np.arange(1, length + 1), classes] = 1
    sums = sums.cumsum(axis=0)
    position = np.arange(length)
    start = np.maximum(position - _BEFORE, 0)
    end = np.minimum(position + _AFTER, length)
    return sums[end] - sums[start]


def _name(pitch: int, fifths: int) -> Name:
    """Letter, alteration and octave of a pitch at a place on the line of fifths."""
    while fifths > _SHARPEST:
        fifths -= 12
    while fifths < _FLATTEST:
        fifths += 12
    alter, index = divmod(fifths + 1, 7)
    letter = _LETTERS[index]
    natural = _SCALE["CDEFGAB".index(letter)]
    return letter, alter, (pitch - alter - natural) // 12 - 1
