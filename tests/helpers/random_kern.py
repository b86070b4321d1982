"""Random Humdrum scores whose spines split and join, and the notes that they hold."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from random import Random
from typing import TypeAlias

from music21 import harmony, stream

Notes: TypeAlias = Counter[tuple[int, Fraction, str, Fraction]]
"""Bar from 1, onset and length in quarters, pitch as in ``C#4``."""

_PITCHES = {"CC": "C2", "F#": "F#3", "B-": "B-3", "c": "C4", "e": "E4", "gg": "G5", "a#": "A#4"}
_LENGTHS = {"2": 2, "4": 1, "8": Fraction(1, 2), "4.": Fraction(3, 2), "16": Fraction(1, 4)}
_SEGMENT = 2  # quarters


def random_kern(seed: int, bars: int = 6) -> tuple[str, Notes]:
    """A file of two **kern spines with **dynam between them, and its notes.

    Spines split into up to four subspines at the beginning and in the middle of bars, and join two
    by two or all at once.
    """
    random = Random(seed)
    spines = ["kern", "dynam", "kern"]
    lines = [[f"**{kind}" for kind in spines], ["*staff2", "*staff1/2", "*staff1"]]
    lines.append(["*M4/4" if kind == "kern" else "*" for kind in spines])
    layers = [1, 1, 1]
    notes: Notes = Counter()
    for bar in range(1, bars + 1):
        lines.append([f"={bar}"] * sum(layers))
        for segment in (0, 1):
            for spine in (0, 2):
                _resize(lines, layers, spine, random.choice((1, 1, 2, 3, 4)), random)
            _fill(lines, layers, bar, Fraction(segment * _SEGMENT), notes, random)
    for spine in (0, 2):
        _resize(lines, layers, spine, 1, random)
    lines += [["=="] * 3, ["*-"] * 3]
    return "\n".join("\t".join(line) for line in lines) + "\n", notes


def _resize(
    lines: list[list[str]], layers: list[int], spine: int, count: int, random: Random
) -> None:
    """Split or join the subspines of a spine until it has ``count``."""
    while layers[spine] != count:
        line = ["*"] * sum(layers)
        first = sum(layers[:spine])
        if layers[spine] < count:
            line[first + random.randrange(layers[spine])] = "*^"
            layers[spine] += 1
        else:
            joined = random.randint(2, layers[spine] - count + 1)
            start = first + random.randint(0, layers[spine] - joined)
            line[start : start + joined] = ["*v"] * joined
            layers[spine] -= joined - 1
        lines.append(line)


def _fill(
    lines: list[list[str]],
    layers: list[int],
    bar: int,
    start: Fraction,
    notes: Notes,
    random: Random,
) -> None:
    """Notes of all subspines for half a bar."""
    columns: list[dict[Fraction, str]] = []
    for spine, count in enumerate(layers):
        for _ in range(count):
            tokens: dict[Fraction, str] = {}
            clock = Fraction(0)
            while clock < _SEGMENT and spine != 1:
                fitting = [name for name, q in _LENGTHS.items() if clock + q <= _SEGMENT]
                length = random.choice(fitting)
                names = random.sample(sorted(_PITCHES), random.choice((0, 1, 1, 1, 2)))
                tokens[clock] = " ".join(length + name for name in names) or f"{length}r"
                for name in names:
                    notes[bar, start + clock, _PITCHES[name], Fraction(_LENGTHS[length])] += 1
                clock += _LENGTHS[length]
            if spine == 1:
                tokens[Fraction(0)] = random.choice(("f >", "p", "[ fz", "<", "."))
            columns.append(tokens)
    for onset in sorted(set().union(*columns)):
        lines.append([column.get(onset, ".") for column in columns])


def notes(score: stream.Score) -> Notes:
    """The notes of a music21 score, as :func:`random_kern` counts them."""
    found: Notes = Counter()
    for part in score.parts:
        for bar, measure in enumerate(part.getElementsByClass(stream.Measure), start=1):
            for element in measure.recurse().notes:
                if isinstance(element, harmony.ChordSymbol):
                    continue
                onset = Fraction(element.getOffsetInHierarchy(measure))
                for pitch in element.pitches:
                    length = Fraction(element.quarterLength)
                    found[bar, onset, pitch.nameWithOctave, length] += 1
    return found
