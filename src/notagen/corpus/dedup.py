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

# Candidates are looked for generously, and then compared: a duplicate that is missed may end up
# in both training and validation, a candidate too many costs microseconds.
_WEIGHTS = (0.1, 0.9)  # of false positives and false negatives
_MAX_CANDIDATES = 0.95  # beyond, the index has too few bands, or none

Signature = NDArray[np.uint32]

SHINGLE: Final = 6  # notes
PERMUTATIONS: Final = 128  # the estimate's standard error is 0.035 at a similarity of 0.8

_PERMUTATIONS = MinHash(PERMUTATIONS, seed=1)  # drawing them takes longer than a short tune


class Duplicates:
    """The pieces seen so far, indexed by locality-sensitive hashing.

    Args:
        similarity: share of common shingles (see :mod:`notagen.corpus.dedup`) from which
            on two pieces are the same.
    """

    def __init__(self, similarity: float) -> None:
        self.similarity = similarity
        self._index = MinHashLSH(min(similarity, _MAX_CANDIDATES), PERMUTATIONS, weights=_WEIGHTS)
        self._signatures: dict[str, Signature] = {}

    def find(self, signature: Signature) -> tuple[str, float] | None:
        """The piece that is most like this one, and their similarity; None if none is enough."""
        minhash = as_minhash(signature)
        alike = [
            (minhash.jaccard(as_minhash(self._signatures[piece])), piece)
            for piece in self._index.query(minhash)
        ]
        similarity, piece = max(alike, default=(0.0, ""))
        return (piece, similarity) if similarity >= self.similarity else None

    def add(self, piece: str, signature: Signature) -> None:
        """Remember a piece that is kept."""
        self._signatures[piece] = signature
        self._index.insert(piece, as_minhash(signature), check_duplication=False)


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
            texts = list(map(repr, events))
            for start in range(max(1, len(events) - SHINGLE + 1)):
                found.add(f"[{', '.join(texts[start : start + SHINGLE])}]".encode())
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
