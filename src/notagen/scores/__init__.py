"""Sheet music: files to tunes and back through music21, engraving, sound."""

from notagen.errors import ScoreError
from notagen.scores.files import read, read_each, to_midi, to_musicxml
from notagen.scores.from_music21 import from_music21
from notagen.scores.to_music21 import to_music21

__all__ = [
    "ScoreError",
    "from_music21",
    "read",
    "read_each",
    "to_midi",
    "to_music21",
    "to_musicxml",
]
