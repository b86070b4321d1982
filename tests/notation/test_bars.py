import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation import bar_duration, print_length, tokens
from tests.helpers.random_scores import bar_texts, examples

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "bar_durations.json").read_text())


def kinds(text):
    return [token.kind for token in tokens(text)]


def test_durations_are_the_published_ones():
    expected = {bar: None if d is None else Fraction(d) for bar, d in GOLDEN.items()}
    assert {bar: bar_duration(bar) for bar in GOLDEN} == expected


@pytest.mark.parametrize(
    ("bar", "duration"),
    [
        ("C//", "1/4"),
        ("C3/2", "3/2"),
        ("C/4", "1/4"),
        ("[C2E2]", "2"),
        ("[CEG]4", "4"),
        ("[C2E4]/", "1"),
        ("(3CDE F", "3"),
        ("(5CDEFG", "2"),
        ("(5:4:5CDEFG", "4"),
        ("(3:2:2C2D", "2"),
        ("(3CzE", "2"),
        ("(3[CE][DF]E", "2"),
        ("C>D", "2"),
        ("C<<D", "2"),
        ("C2>[DF]2", "4"),
        ("C>z", "2"),
        ("(3C>DE", "2"),
        ("{/gab}C2", "2"),
        ("{g2}C{a4}", "1"),
        ("C4 & E2", "4"),
        ("y4 C y", "1"),
        ('"4/4"C "^8va|"D', "2"),
        ("!5!C", "1"),
        ("[M:3/4][K:Eb] C", "1"),
        ("___B", "1"),
        ("", "0"),
    ],
)
def test_duration(bar, duration):
    assert bar_duration(bar) == Fraction(duration)


@pytest.mark.parametrize("bar", ["Z", "X4", "C $ D", "[CE", "C/0", "[L:1/16] C"])
def test_duration_that_cannot_be_told(bar):
    assert bar_duration(bar) is None


def test_a_note_says_its_pitch_and_length():
    (note,) = tokens("^^c'3/2")
    assert (note.kind, note.accidental, note.letter, note.octave) == ("note", "^^", "C", 6)
    assert note.length == note.duration == Fraction(3, 2)
    assert [token.octave for token in tokens("C,,C,Ccc'")] == [2, 3, 4, 5, 6]


def test_a_chord_holds_its_notes():
    chord, broken, note = tokens("[^C2E2-]>G2")
    assert [inner.text for inner in chord.inner] == ["^C2", "E2", "-"]
    assert broken.kind == "broken"
    assert chord.length == 2
    assert chord.duration == chord.inner[0].duration == 3
    assert note.duration == 1


def test_a_tuplet_says_how_many_notes_in_what_time():
    assert tokens("(3CDE")[0].tuplet == (3, 2, 3)
    assert tokens("(3:2:4CDEF")[0].tuplet == (3, 2, 4)
    assert tokens("(5::2CD")[0].tuplet == (5, 2, 2)
    assert [token.duration for token in tokens("(3CDEF") if token.kind == "note"] == [
        Fraction(2, 3)
    ] * 3 + [1]


def test_grace_notes_take_no_time():
    grace, note = tokens("{/g2a}C2")
    assert [inner.letter for inner in grace.inner if inner.kind == "note"] == ["G", "A"]
    assert grace.duration == 0
    assert note.duration == 2


def test_kinds():
    assert kinds('"Am"!f!.T[K:G]C-(CD)&y[1') == [
        *["quoted", "decoration", "decoration", "decoration", "field", "note", "tie", "slur"],
        *["note", "note", "slur", "overlay", "spacer", "ending"],
    ]


@examples
@given(bar_texts | st.text(max_size=40))
def test_tokens_lose_nothing(text):
    assert "".join(token.text for token in tokens(text)) == text


@examples
@given(st.fractions(min_value=0, max_value=64, max_denominator=64))
def test_lengths_are_read_as_printed(length):
    if length.denominator & (length.denominator - 1) == 0:
        assert tokens("C" + print_length(length))[0].length == length
