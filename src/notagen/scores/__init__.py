"""Scores in and out, through music21; engraving through verovio."""

from notagen.scores.errors import ScoreError
from notagen.scores.reading import from_music21

__all__ = ["ScoreError", "from_music21"]
