"""Accidentals hold for a bar, a letter and an octave; a tie carries its own."""

import pytest

from notagen.notation import parse_key
from notagen.scores.fields import Spelling, abc_letter


def spelling(key: str) -> Spelling:
    name = parse_key(key)
    assert name is not None
    return Spelling(name)


def test_writes_what_the_key_does_not_say() -> None:
    voice = spelling("G")
    assert voice.sign("F", 4, 1, tied=None, shown=False) == ""
    assert voice.sign("F", 4, 0, tied=None, shown=False) == "="
    assert voice.sign("F", 4, 0, tied=None, shown=False) == ""
    assert voice.sign("F", 5, 0, tied=None, shown=False) == "="


def test_a_new_bar_or_key_forgets() -> None:
    voice = spelling("C")
    assert voice.sign("B", 4, -1, tied=None, shown=False) == "_"
    voice.start_bar()
    assert voice.sign("B", 4, -1, tied=None, shown=False) == "_"
    name = parse_key("F")
    assert name is not None
    voice.set_key(name)
    assert voice.sign("B", 4, -1, tied=None, shown=False) == ""


def test_a_tie_carries_its_accidental_but_not_the_next_note() -> None:
    voice = spelling("C")
    assert voice.alter("E", 4, "", tied=-1) == -1
    assert voice.alter("E", 4, "", tied=None) == 0
    assert voice.sign("E", 4, -1, tied=-1, shown=False) == ""
    assert voice.sign("E", 4, -1, tied=None, shown=False) == "_"


def test_shows_courtesy_accidentals() -> None:
    assert spelling("D").sign("C", 5, 1, tied=None, shown=True) == "^"


@pytest.mark.parametrize(
    ("letter", "octave", "written"),
    [("C", 4, "C"), ("C", 5, "c"), ("B", 2, "B,,"), ("G", 7, "g''")],
)
def test_octaves(letter: str, octave: int, written: str) -> None:
    assert abc_letter(letter, octave) == written
