"""Notes, rests and their durations, from ABC's tokens to music21."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from music21 import articulations, beam, duration, expressions, note, pitch

from notagen.scores.errors import ScoreError
from notagen.scores.marks import ARTICULATIONS, FINGERS, ORNAMENTS, SYNONYMS

_ARTICULATION_OF = {sign: kind for kind, sign in ARTICULATIONS.items()}
_ORNAMENT_OF = {sign: kind for kind, sign in ORNAMENTS.items()}
_SHORTEST = 1 / 16  # quarters; a note of a tuplet that is plainly meant
_ALTERATIONS = {-2: "--", -1: "-", 0: "", 1: "#", 2: "##"}


def make_pitch(letter: str, octave: int, alter: int, shown: bool) -> pitch.Pitch:
    """Return a pitch whose accidental is printed exactly when ``shown``."""
    if alter not in _ALTERATIONS:
        raise ScoreError(f"{letter} has {abs(alter)} accidentals; no score shows more than two")
    made = pitch.Pitch(f"{letter}{_ALTERATIONS[alter]}{octave}")
    if shown and not alter:
        made.accidental = pitch.Accidental("natural")
    if made.accidental is not None:
        made.accidental.displayStatus = shown
    return made


def make_duration(quarters: Fraction, tuplet: duration.Tuplet | None = None) -> duration.Duration:
    """Return a duration that sounds so many quarters, written as part of a tuplet."""
    if tuplet is not None:
        written = duration.Duration(quarters * tuplet.numberNotesActual / tuplet.numberNotesNormal)
        if written.type != "complex" and not written.tuplets:
            written.appendTuplet(tuplet)
            return written
    made = duration.Duration(quarters)
    unwritable = made.type == "inexpressible"
    if unwritable or any(t.durationNormal.quarterLength < _SHORTEST for t in made.tuplets):
        # No notation says this (rounding in a source file): the nearest note, its time kept.
        nearest, _ = duration.quarterLengthToClosestType(quarters)
        made = duration.Duration(type=nearest)
        made.linked = False
        made.quarterLength = quarters
    return made


def attach(target: note.GeneralNote, signs: Iterable[str]) -> None:
    """Put articulations and ornaments on a note, chord or rest; leave out unknown signs."""
    for sign in signs:
        sign = SYNONYMS.get(sign, sign)
        if sign in _ARTICULATION_OF:
            target.articulations.append(_ARTICULATION_OF[sign]())
        elif sign in _ORNAMENT_OF:
            target.expressions.append(_make_ornament(sign))
        elif sign.strip("!") in FINGERS:
            target.articulations.append(articulations.Fingering(int(sign.strip("!"))))
        elif sign in ("!/!", "!//!", "!///!"):
            tremolo = expressions.Tremolo()
            tremolo.numberOfMarks = len(sign) - 2
            target.expressions.append(tremolo)


def _make_ornament(sign: str) -> expressions.Expression:
    mark = _ORNAMENT_OF[sign]()
    if isinstance(mark, expressions.Fermata):
        mark.type = "upright"  # music21's own default is upside down, below the staff
    return mark


def beam_together(notes: Sequence[note.NotRest]) -> None:
    """Beam notes that are written without a blank between them; quarters and longer end a beam."""
    flags = [len(beam.Beams.naiveBeams([one])[0] or ()) for one in notes]
    for index, one in enumerate(notes):
        before = flags[index - 1] if index else 0
        after = flags[index + 1] if index + 1 < len(flags) else 0
        if not before and not after:
            continue
        for level in range(1, flags[index] + 1):
            if before >= level and after >= level:
                one.beams.append("continue")
            elif after >= level:
                one.beams.append("start")
            elif before >= level:
                one.beams.append("stop")
            else:
                one.beams.append("partial", "left" if before else "right")
