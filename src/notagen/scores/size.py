"""Largest scores that are written out; larger ones would take minutes, or the memory."""

from __future__ import annotations

from notagen.errors import ScoreError
from notagen.notation.bars import tokens
from notagen.notation.tune import Tune

_MAX_NOTES = 50_000  # and rests; the longest movements for orchestra have fewer
_MAX_CHORD = 100  # notes of a chord, or of graces before one note
_MAX_OVERLAYS = 16  # voices of a bar that `&` lays over one another

_SOUNDING = ("note", "rest", "chord", "grace")


def check_size(tune: Tune) -> None:
    """Check that a tune is no larger than a score.

    Raises:
        ScoreError: it has more notes, in all or in one chord, or more overlaid voices.
    """
    count = 0
    for number, voices in enumerate(tune.bars, start=1):
        for bar in voices.values():
            found = tokens(bar.text)
            if max((len(token.inner) for token in found), default=0) > _MAX_CHORD:
                raise ScoreError(
                    f"bar {number} has a chord of more than {_MAX_CHORD} notes; no instrument has"
                )
            if sum(token.kind == "overlay" for token in found) > _MAX_OVERLAYS:
                raise ScoreError(
                    f"bar {number} has more than {_MAX_OVERLAYS} voices on one staff; no score has"
                )
            count += sum(max(1, len(one.inner)) for one in found if one.kind in _SOUNDING)
        if count > _MAX_NOTES:
            raise ScoreError(f"this tune has more than {_MAX_NOTES} notes; write it out in parts")
