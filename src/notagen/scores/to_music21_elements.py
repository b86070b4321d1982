"""Elements of a voice in music21: pitches, durations, beams, marks, words and spanners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction

from music21 import (
    articulations,
    beam,
    duration,
    dynamics,
    expressions,
    harmony,
    note,
    pitch,
    spanner,
)
from music21.base import Music21Object

from notagen.errors import ScoreError
from notagen.notation.bars import CHORD_SYMBOL
from notagen.scores.marks import (
    ARTICULATIONS,
    DYNAMICS,
    FINGERS,
    ORNAMENTS,
    REPEAT_EXPRESSIONS,
    SYNONYMS,
)

_ARTICULATION_OF = {decoration: kind for kind, decoration in ARTICULATIONS.items()}
_ORNAMENT_OF = {decoration: kind for kind, decoration in ORNAMENTS.items()}
_REPEAT_EXPRESSION_OF = {decoration: kind for kind, decoration in REPEAT_EXPRESSIONS.items()}
_ALTERATIONS = {-2: "--", -1: "-", 0: "", 1: "#", 2: "##"}
_SHORTEST = 1 / 16  # quarters; tuplets of shorter notes come from rounding, and no one writes them
_PLACEMENTS = {"^": "above", "_": "below", "<": None, ">": None, "@": None}  # ABC 2.1, 4.19


def make_pitch(letter: str, octave: int, alter: int, shown: bool) -> pitch.Pitch:
    """A pitch whose accidental is printed exactly when ``shown``.

    Raises ScoreError for more than two sharps or flats.
    """
    if alter not in _ALTERATIONS:
        raise ScoreError(f"{letter} has {abs(alter)} accidentals; no score shows more than two")
    made = pitch.Pitch(f"{letter}{_ALTERATIONS[alter]}{octave}")
    if shown and not alter:
        made.accidental = pitch.Accidental("natural")
    if made.accidental is not None:
        made.accidental.displayStatus = shown
    return made


def make_rest(letter: str) -> note.Rest:
    """A rest without its duration; hidden for ``x`` and ``X``."""
    rest = note.Rest()
    if letter in "xX":
        rest.style.hideObjectOnPrint = True
    return rest


def make_duration(quarters: Fraction, tuplet: duration.Tuplet | None = None) -> duration.Duration:
    """A duration of ``quarters`` as it sounds, written as part of a tuplet if one is given."""
    if tuplet is not None:
        written = duration.Duration(quarters * tuplet.numberNotesActual / tuplet.numberNotesNormal)
        if written.type != "complex" and not written.tuplets:
            written.appendTuplet(tuplet)
            return written
    made = duration.Duration(quarters)
    unwritable = made.type == "inexpressible"
    if unwritable or any(t.durationNormal.quarterLength < _SHORTEST for t in made.tuplets):
        # No note lasts as long (rounding in a source file): write the nearest, keep its time.
        nearest, _ = duration.quarterLengthToClosestType(quarters)
        made = duration.Duration(type=nearest)
        made.linked = False
        made.quarterLength = quarters
    return made


def attach_decorations(element: note.GeneralNote, decorations: Iterable[str]) -> None:
    """Put articulations and ornaments on a note, chord or rest; leave out unknown ones."""
    for decoration in decorations:
        decoration = SYNONYMS.get(decoration, decoration)
        name = decoration.strip("!")
        if decoration in _ARTICULATION_OF:
            element.articulations.append(_ARTICULATION_OF[decoration]())
        elif decoration in _ORNAMENT_OF:
            element.expressions.append(_make_ornament(decoration))
        elif name in FINGERS:
            element.articulations.append(articulations.Fingering(int(name)))
        elif decoration in ("!/!", "!//!", "!///!"):
            tremolo = expressions.Tremolo()
            tremolo.numberOfMarks = len(name)
            element.expressions.append(tremolo)


def _make_ornament(decoration: str) -> expressions.Expression:
    ornament = _ORNAMENT_OF[decoration]()
    if isinstance(ornament, expressions.Fermata):
        ornament.type = "upright"  # music21's own default is upside down, below the staff
    return ornament


def beam_together(notes: Sequence[note.NotRest]) -> None:
    """Beam notes that are written without a blank between them; quarters and longer end a beam.

    A note has as many beams as its value has flags; each runs on to the neighbours that have it
    too, and is a short stub where neither has (the 16th in a dotted rhythm).
    """
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


def make_direction(decoration: str) -> Music21Object | None:
    """Dynamic (``!mf!``) or repeat expression (``!segno!``) of a decoration; None for others."""
    if decoration.strip("!") in DYNAMICS:
        return dynamics.Dynamic(decoration.strip("!"))
    made = _REPEAT_EXPRESSION_OF.get(decoration)
    return made() if made else None


def make_words(quoted: str) -> Music21Object | None:
    """The text or chord symbol of a quoted string, given without quotes; None when empty."""
    annotation = quoted[:1] in _PLACEMENTS  # "^dolce" above the staff; without a sign, a chord
    words = quoted[annotation:].strip()
    if not words:
        return None
    match = None if annotation else CHORD_SYMBOL.fullmatch(words)
    if match:
        root = match["root"].replace("b", "-")
        bass = (match["bass"] or "").capitalize().replace("b", "-")
        figure = root + match["kind"] + (f"/{bass}" if bass else "")
        with suppress(Exception):  # music21 fails in any way on words that only begin as one
            return harmony.ChordSymbol(figure)
    text = expressions.TextExpression(words)
    text.placement = _PLACEMENTS.get(quoted[:1])
    return text


def make_span(kind: str) -> spanner.Spanner:
    """An empty wedge, octave line or trill line, by its name in ``SPANS``."""
    match kind:
        case "Crescendo":
            return dynamics.Crescendo()
        case "Diminuendo":
            return dynamics.Diminuendo()
        case "TrillExtension":
            return expressions.TrillExtension()
    # ABC's pitches under an octave line are those that sound.
    return spanner.Ottava(type=kind, transposing=False)
