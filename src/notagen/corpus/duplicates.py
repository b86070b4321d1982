"""Finding pieces that are the same music, in whatever key."""

from __future__ import annotations

from datasketch import MinHashLSH

from notagen.corpus.fingerprint import PERMUTATIONS, Signature, as_minhash

# Candidates are looked for generously, and then compared: a duplicate that is missed may end up
# in both training and validation, a candidate too many costs microseconds.
_WEIGHTS = (0.1, 0.9)  # of false positives and false negatives
_MOST = 0.95  # beyond, the index has too few bands, or none


class Duplicates:
    """The pieces seen so far, indexed by locality-sensitive hashing.

    Args:
        similarity: share of common shingles (see :mod:`notagen.corpus.fingerprint`) from which
            on two pieces are the same.
    """

    def __init__(self, similarity: float) -> None:
        self.similarity = similarity
        self._index = MinHashLSH(min(similarity, _MOST), PERMUTATIONS, weights=_WEIGHTS)
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
