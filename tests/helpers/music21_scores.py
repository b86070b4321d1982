"""Small tunes, and scores of music21's corpus, for the tests of this folder."""

from __future__ import annotations

from music21 import converter, corpus, stream

from notagen.notation import Tune
from notagen.scores import from_music21, to_musicxml

HEADER = '%%score 1\nL:1/8\nQ:1/4=100\nM:4/4\nK:Emin\nV:1 treble nm="Flute" snm="Fl."\n'

DUET = (
    "%%score { 1 | ( 2 3 ) }\nL:1/8\nM:4/4\nK:F\n"
    'V:1 treble nm="Piano" snm="Pno."\nV:2 bass \nV:3 bass \n'
    "[V:1]c4 d4|[V:2]F,2 A,2 B,2 G,2|[V:3]F,,8|\n"
    "[V:1]c8|][V:2]A,8|][V:3]F,,8|]\n"
)


def one_voice(music: str) -> Tune:
    """Parse bars of one flute; the last barline may be left out."""
    return Tune.parse(f"{HEADER}V:1\n{music}" + ("" if music[-1] in "|]:" else " |"))


def corpus_score(name: str) -> stream.Score:
    """Parse a score of music21's installed corpus."""
    return converter.parse(corpus.getWork(name))


def through_musicxml(tune: Tune) -> stream.Score:
    """Print a tune, read it again, write it as MusicXML and let music21 parse that."""
    return converter.parse(to_musicxml(Tune.parse(tune.to_interleaved())), format="musicxml")


def returned(tune: Tune) -> Tune:
    """Send a tune through MusicXML and back."""
    return from_music21(through_musicxml(tune))
