"""Near duplicates in any key: MinHash fingerprints of pieces and their index."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from notagen.notation import Tune
from notagen.notation.pitches import sounds

# The index favours recall, since its candidates are compared anyway: a missed duplicate may end up
# in both training and validation, an unnecessary candidate costs microseconds.
_WEIGHTS = (0.1, 0.9)  # cost of false positives and of false negatives
_MAX_THRESHOLD = 0.95  # above, MinHashLSH finds too few bands, or none

Signature = NDArray[np.uint32]

SHINGLE: Final = 6  # notes
PERMUTATIONS: Final = 128  # the estimate's standard error is 0.035 at a similarity of 0.8

_PERMUTATIONS = MinHash(PERMUTATIONS, seed=1)  # drawing them takes longer than a short tune


class Duplicates:
    """Index of the pieces kept so far, by locality-sensitive hashing.

    Args:
        similarity: Jaccard similarity of two pieces' shingles (see :func:`shingles`) from which
            on they count as duplicates.
    """

    def __init__(self, similarity: float) -> None:
        self.similarity = similarity
        self._index = MinHashLSH(min(similarity, _MAX_THRESHOLD), PERMUTATIONS, weights=_WEIGHTS)
        self._signatures: dict[str, Signature] = {}

    def find(self, signature: Signature) -> tuple[str, float] | None:
        """Name and similarity of the nearest duplicate; None if there is none."""
        minhash = as_minhash(signature)
        candidates = [
            (minhash.jaccard(as_minhash(self._signatures[piece])), piece)
            for piece in self._index.query(minhash)
        ]
        similarity, piece = max(candidates, default=(0.0, ""))
        return (piece, similarity) if similarity >= self.similarity else None

    def add(self, piece: str, signature: Signature) -> None:
        """Add a piece to the index."""
        self._signatures[piece] = signature
        self._index.insert(piece, as_minhash(signature), check_duplication=False)


def signature(tune: Tune) -> Signature | None:
    """MinHash signature of a tune, uint32 [128]; None if it has no note."""
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
    """All runs of :data:`SHINGLE` consecutive notes or rests in one voice; a shorter voice is one.

    A run is written down as intervals and durations, so that transposing a piece changes nothing:
    ``[((0,), '1/4'), ((2,), '1/8'), (None, '1/8'), ...]``.
    """
    found = set()
    for voice in tune.voices:
        events = list(_events(tune, voice))
        if any(interval is not None for interval, _ in events):
            texts = list(map(repr, events))
            for start in range(max(1, len(events) - SHINGLE + 1)):
                found.add(f"[{', '.join(texts[start : start + SHINGLE])}]".encode())
    return found


def _events(tune: Tune, voice: str) -> Iterator[tuple[tuple[int, ...] | None, str]]:
    """Intervals and duration of each note or chord of a voice; grace notes are left out.

    Intervals are in semitones from the previous top note to each note of the chord, None for a
    rest. Durations are fractions of a whole note: ``1/8``.
    """
    unit = tune.unit_length
    previous: int | None = None
    for pitches, duration in sounds(tune, voice):
        if duration == 0:
            continue
        if pitches:
            start = pitches[-1] if previous is None else previous
            previous = pitches[-1]
            yield tuple(pitch - start for pitch in pitches), str(duration * unit)
        else:
            yield None, str(duration * unit)
