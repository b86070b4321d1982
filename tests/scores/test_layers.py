"""Time as it is notated, where files round it."""

from fractions import Fraction

import pytest
from music21 import duration, dynamics, note, stream

from notagen.scores.layers import is_miscounted, sounding_voices, split_layers, timed


def counted(kind: str, quarters: Fraction | float, *tuplets: duration.Tuplet) -> note.Note:
    """Return a note that is written as one length and counted as another."""
    made = note.Note("D4", type=kind)
    made.duration.tuplets = tuplets
    made.duration.linked = False
    made.duration.quarterLength = quarters
    return made


def measure(*notes: note.Note) -> stream.Measure:
    made = stream.Measure()
    for one in notes:
        made.append(one)
    return made


def test_seventeen_to_the_quarter() -> None:
    """Six eighths that are counted as 8/17 of a quarter fill a bar of 6/8."""
    bar = measure(*(counted("eighth", Fraction(8, 17)) for _ in range(6)))
    found = list(timed(bar))
    assert [onset for onset, _, _ in found] == [0, 1, 2, 3, 4, 5]
    assert {length for _, length, _ in found} == {1}
    assert all(is_miscounted(one) for _, _, one in found)


def test_what_follows_moves_along() -> None:
    bar = measure(counted("eighth", Fraction(8, 17)), note.Note("E4", type="quarter"))
    bar.insert(Fraction(8, 17), dynamics.Dynamic("p"))
    assert [onset for onset, _, _ in timed(bar)] == [0, 1, 1]


@pytest.mark.parametrize("number", [3, 7, 11, 13])
def test_tuplets_counted_in_1024ths(number: int) -> None:
    """The counts differ by one now and then; no gap opens, and the tuplet ends on the beat."""
    ends = [round(Fraction(2048 * i, number)) for i in range(number + 1)]
    lengths = [Fraction(ends[i + 1] - ends[i], 1024) for i in range(number)]
    normal = 2 if number == 3 else 4 if number == 7 else 8
    kind = {2: "quarter", 4: "eighth", 8: "16th"}[normal]
    tuplet = duration.Tuplet(number, normal)
    bar = measure(*(counted(kind, length, tuplet) for length in lengths), note.Note("D4"))
    onsets = [onset for onset, _, _ in timed(bar)]
    assert onsets == [Fraction(4 * i, number) for i in range(number + 1)]


def test_a_length_that_contradicts_its_notation_is_kept() -> None:
    """A note that is held far shorter than written is no rounding."""
    ((_, length, held),) = timed(measure(counted("quarter", 0.75)))
    assert length == Fraction(3, 2)
    assert not is_miscounted(held)


def test_gaps_stay() -> None:
    bar = stream.Measure()
    bar.insert(0, note.Note("C4", type="eighth"))
    bar.insert(1.5, note.Note("D4", type="eighth"))
    assert [onset for onset, _, _ in timed(bar)] == [0, 3]


def test_voices_without_an_id_stand_as_in_the_score() -> None:
    for _ in range(20):  # music21 takes their places in memory for ids
        voices = [
            stream.Voice([note.Note(name, type="whole")]) for name in ("C5", "G4", "E4", "C3")
        ]
        part = stream.Part([stream.Measure(voices)])
        (bar,) = part.getElementsByClass(stream.Measure)
        layers = split_layers(bar, sounding_voices(part))
        names = [layer.events[0].element.nameWithOctave for layer in layers]
        assert names == ["C5", "G4", "E4", "C3"]
