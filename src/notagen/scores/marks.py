"""Articulations, ornaments, dynamics, spanners, clefs and modes: names in music21 and ABC."""

from __future__ import annotations

from music21 import articulations, expressions, repeat
from music21.base import Music21Object

# Looked up by exact class: in music21, Staccatissimo derives from Staccato.
ARTICULATIONS: dict[type[Music21Object], str] = {
    articulations.Staccato: ".",
    articulations.Staccatissimo: "!wedge!",
    articulations.Spiccato: "!spiccato!",
    articulations.Tenuto: "!tenuto!",
    articulations.DetachedLegato: "!detachedlegato!",
    articulations.Accent: "!>!",
    articulations.StrongAccent: "!^!",
    articulations.Stress: "!stress!",
    articulations.Unstress: "!unstress!",
    articulations.UpBow: "u",
    articulations.DownBow: "v",
    articulations.OpenString: "!open!",
    articulations.StringHarmonic: "!harmonic!",
    articulations.StringThumbPosition: "!thumb!",
    articulations.Stopped: "!plus!",
    articulations.SnapPizzicato: "!snap!",
    articulations.BreathMark: "!breath!",
    articulations.Caesura: "!caesura!",
}

FINGERS = frozenset("012345")  # written !1!, ABC 2.1, 4.14

ORNAMENTS: dict[type[Music21Object], str] = {
    expressions.Fermata: "!fermata!",
    expressions.Trill: "T",
    expressions.Mordent: "M",
    expressions.InvertedMordent: "P",
    expressions.Turn: "!turn!",
    expressions.InvertedTurn: "!invertedturn!",
    expressions.Shake: "!shake!",
    expressions.Schleifer: "!slide!",
    expressions.ArpeggioMark: "!arpeggio!",
}

REPEAT_EXPRESSIONS: dict[type[Music21Object], str] = {
    repeat.Segno: "!segno!",
    repeat.Coda: "!coda!",
    repeat.Fine: "!fine!",
    repeat.DaCapo: "!D.C.!",
    repeat.DaCapoAlFine: "!D.C.alfine!",
    repeat.DaCapoAlCoda: "!D.C.alcoda!",
    repeat.DalSegno: "!D.S.!",
    repeat.DalSegnoAlFine: "!D.S.alfine!",
    repeat.DalSegnoAlCoda: "!D.S.alcoda!",
}

# Other spellings of ABC 2.1 for decorations in the tables above; read, never written.
SYNONYMS = {
    "!staccato!": ".",
    "!trill!": "T",
    "!lowermordent!": "M",
    "!mordent!": "M",
    "!uppermordent!": "P",
    "!pralltriller!": "P",
    "!upbow!": "u",
    "!downbow!": "v",
    "!accent!": "!>!",
    "!emphasis!": "!>!",
    "L": "!>!",
    "H": "!fermata!",
    "!marcato!": "!^!",
    "!invertedfermata!": "!fermata!",
}

_LOUDNESS = ("pppp ppp pp p mp mf f ff fff ffff", "sf sfp fp fz sfz sffz rf rfz pf")
DYNAMICS = frozenset(name for names in _LOUDNESS for name in names.split())

# Spanners, by class name or the type of an octave line: the decorations before the first note and
# after the last.
SPANS = {
    "Crescendo": ("!<(!", "!<)!"),
    "Diminuendo": ("!>(!", "!>)!"),
    "8va": ("!8va(!", "!8va)!"),
    "8vb": ("!8vb(!", "!8vb)!"),
    "15ma": ("!15ma(!", "!15ma)!"),
    "15mb": ("!15mb(!", "!15mb)!"),
    "TrillExtension": ("!trill(!", "!trill)!"),
}

# Clef sign and line to its ABC name; an octave clef takes -8 or +8 (or 15).
CLEFS = {
    ("G", 2): "treble",
    ("G", 1): "treble1",
    ("C", 1): "alto1",
    ("C", 2): "alto2",
    ("C", 3): "alto",
    ("C", 4): "tenor",
    ("C", 5): "alto5",
    ("F", 4): "bass",
    ("F", 3): "bass3",
    ("F", 5): "bass5",
}

# Modes other than major, as ABC's K: field writes and music21 names them.
MODES = {
    "minor": "min",
    "dorian": "dor",
    "phrygian": "phr",
    "lydian": "lyd",
    "mixolydian": "mix",
    "locrian": "loc",
    "aeolian": "aeo",
    "ionian": "ion",
}
