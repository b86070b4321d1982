"""What a piece sounds like, in whatever key: a MinHash of its melodies and rhythms.

Two pieces are compared by their shingles: runs of so many notes of one voice, each note as its
interval to the note before and its duration. The share of common shingles (Jaccard similarity) is
1 for the same music in two keys, and estimated from the two MinHash signatures alone (Broder,
"On the resemblance and containment of documents", 1997).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

from notagen.notation import Token, Tune, parse_key, tokens
from notagen.notation.keys import LETTERS, alteration

Signature = NDArray[np.uint32]

SHINGLE: Final = 6  # notes
PERMUTATIONS: Final = 128  # the estimate's standard error is 0.035 at a similarity of 0.8

_NATURAL = (0, 2, 4, 5, 7, 9, 11)  # semitones of C D E F G A B above C
_PERMUTATIONS = MinHash(PERMUTATIONS, seed=1)  # drawing them takes longer than a short tune


def signature(tune: Tune) -> Signature | None:
    """MinHash signature of a tune, uint32 [128]; None where it has no note."""
    parts = shingles(tune)
    if not parts:
        return None
    minhash = as_minhash(_PERMUTATIONS.hashvalues)
    minhash.update_batch(parts)
    return np.asarray(minhash.hashvalues, dtype=np.uint32)


def as_minhash(values: Signature) -> MinHash:
    """Wrap a signature for datasketch's index."""
    return MinHash(
        PERMUTATIONS,
        hashfunc=zlib.crc32,
        hashvalues=values,
        permutations=_PERMUTATIONS.permutations,
        scheme="affine32",
    )


def shingles(tune: Tune) -> set[bytes]:
    """All runs of :data:`SHINGLE` notes or rests in one voice; shorter voices are one run."""
    found = set()
    for voice in tune.voices:
        events = list(_events(tune, voice))
        if any(interval is not None for interval, _ in events):
            for start in range(max(1, len(events) - SHINGLE + 1)):
                found.add(repr(events[start : start + SHINGLE]).encode())
    return found


def _events(tune: Tune, voice: str) -> Iterator[tuple[tuple[int, ...] | None, str]]:
    """Semitones from the top note before to each note of a chord, and its duration.

    Rests have no semitones. Durations are parts of a whole note: ``1/8``. Grace notes are left
    out.
    """
    unit = tune.unit_length
    before: int | None = None
    for pitches, duration in sounds(tune, voice):
        if duration == 0:
            continue
        if pitches:
            start = pitches[-1] if before is None else before
            before = pitches[-1]
            yield tuple(pitch - start for pitch in pitches), str(duration * unit)
        else:
            yield None, str(duration * unit)


def sounds(tune: Tune, voice: str) -> Iterator[tuple[list[int], Fraction]]:
    """Pitches in semitones, lowest first, and duration of each note, chord, rest, grace note."""
    fields = (line[2:] for line in tune.header if line.startswith("K:"))
    key = next(key for field in fields if (key := parse_key(field)))
    for voices in tune.bars:
        altered: dict[tuple[str, int], int] = {}  # accidentals last to the end of the bar
        for token in tokens(voices[voice].text if voice in voices else ""):
            if token.text.startswith("[K:") and (changed := parse_key(token.text[3:-1])):
                key, altered = changed, {}
            elif token.kind in ("note", "rest", "chord", "grace"):
                notes = [note for note in token.inner or (token,) if note.kind == "note"]
                yield sorted(_pitch(note, key.signature, altered) for note in notes), token.duration


def _pitch(note: Token, signature: tuple[int, ...], altered: dict[tuple[str, int], int]) -> int:
    step = LETTERS.index(note.letter)
    place = (note.letter, note.octave)
    if note.accidental:
        altered[place] = alteration(note.accidental)
    return 12 * note.octave + _NATURAL[step] + altered.get(place, signature[step])
