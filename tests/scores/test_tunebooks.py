"""ABC as it is found: many tunes a file, and the ways people write them."""

import cProfile
from pathlib import Path

import pytest

from notagen.notation import Tune
from notagen.scores import ScoreError, read, read_each
from notagen.scores.abc_source import split_tunes

BOOK = """% a collection
M:6/8
L:1/8
R:jig

X:1
T:One
K:D % two sharps
d3 AFA|d6|]

Notes on this tune | by its collector

X:2
T:Two
M:4/4

K:G
V:1
GABc d4|

V:2
G,8|
"""


def bars(tune: Tune) -> list[dict[str, str]]:
    return [{voice: bar.text for voice, bar in bars.items()} for bars in tune.bars]


def written(folder: Path, text: str) -> Path:
    file = folder / "book.abc"
    file.write_text(text)
    return file


def read_one(folder: Path, text: str) -> Tune:
    (tune,) = read(written(folder, text))
    return tune


def test_tunes_inherit_the_fields_they_lack() -> None:
    one, two = split_tunes(BOOK)
    assert one == "X:1\nM:6/8\nL:1/8\nR:jig\nT:One\nK:D\nd3 AFA|d6|]"
    assert two.startswith("X:2\nL:1/8\nR:jig\nT:Two\nM:4/4\nK:G\nV:1")


def test_words_between_tunes_are_no_music(tmp_path: Path) -> None:
    one, two = read(written(tmp_path, BOOK))
    assert bars(one) == [{"1": "d3 AFA"}, {"1": "d6"}]
    assert bars(two) == [{"1": "GABc d4", "2": "G,8"}]


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Gmaj", "G"),
        ("G major", "G"),
        ("Em", "Emin"),
        ("E minor", "Emin"),
        ("Ddorian", "Ddor"),
        ("A mix", "Amix"),
        ("HP", "D"),
        ("none", "C"),
    ],
)
def test_keys(tmp_path: Path, field: str, name: str) -> None:
    assert f"K:{name}" in read_one(tmp_path, f"X:1\nL:1/8\nM:4/4\nK:{field}\nG8|]\n").header


@pytest.mark.parametrize(("field", "name"), [("C", "4/4"), ("C|", "2/2"), ("3/4 % slow", "3/4")])
def test_metres(tmp_path: Path, field: str, name: str) -> None:
    assert f"M:{name}" in read_one(tmp_path, f"X:1\nL:1/8\nM:{field}\nK:C\nG8|]\n").header


def test_voices_by_name(tmp_path: Path) -> None:
    text = "X:1\nM:4/4\nL:1/4\nK:C\nV:S nm=Soprano\nV:B clef=bass\n[V:S]c4|d4|]\n[V:B]C,4|D,4|]\n"
    tune = read_one(tmp_path, text)
    assert bars(tune) == [{"1": "c8", "2": "C,8"}, {"1": "d8", "2": "D,8"}]
    assert tune.header[-2:] == ('V:1 treble nm="Soprano"', "V:2 bass ")


def test_no_final_barline(tmp_path: Path) -> None:
    tune = read_one(tmp_path, "X:1\nM:4/4\nL:1/8\nK:C\nG2|c8|d6\n")
    assert bars(tune) == [{"1": "G2"}, {"1": "c8"}, {"1": "d6"}]
    assert tune.bars[-1]["1"].right == "|"


@pytest.mark.parametrize(
    "music",
    [
        "(D>.F)(A>.B) vd>e (f<a)f",  # marks in the midst of broken rhythm
        "(3(EFG) A6",
        "{c}d2{/ef}g4 a2",
        "[DFA]4-[DFA]4",
    ],
)
def test_what_musicians_write(tmp_path: Path, music: str) -> None:
    (bar,) = bars(read_one(tmp_path, f"X:1\nM:C\nL:1/8\nK:D\n{music}|]\n"))
    assert bar["1"].replace(" ", "") == music.replace(" ", "").replace("/", "")


def test_one_bad_tune_does_not_lose_the_others(tmp_path: Path) -> None:
    book = "X:1\nK:C\nC8|]\n\nX:2\nT:no key\nD8|]\n\nX:3\nK:C\nE8|]\n"
    one, two, three = read_each(written(tmp_path, book))
    assert isinstance(one, Tune)
    assert isinstance(two, ScoreError)
    assert "tune 2: the text has no K: field" in str(two)
    assert isinstance(three, Tune)
    with pytest.raises(ScoreError, match="tune 2"):
        read(tmp_path / "book.abc")


def test_music_without_bar_lines_is_barred_by_its_metre(tmp_path: Path) -> None:
    tune = read_one(tmp_path, "X:1\nM:4/4\nL:1/4\nK:C\n" + "C D E F " * 200 + "\n")
    assert len(tune.bars) == 200


@pytest.mark.parametrize("decoration", ["H", "J", "W", "j", "p", "q", "T", "!f!"])
def test_decorations_in_music_without_bar_lines(tmp_path: Path, decoration: str) -> None:
    tune = read_one(tmp_path, f"X:1\nM:4/4\nL:1/4\nK:C\n{'C D E F ' * 66} {decoration}G4|]\n")
    assert len(tune.bars) == 67
    assert tune.bars[-1]["1"].text.endswith("G8")


def calls(folder: Path, n_bars: int) -> int:
    """Calls of functions, also of music21's, while a tune of one voice is read."""
    file = written(folder, f"X:1\nM:4/4\nL:1/8\nK:C\n{'CDEF GABc|' * n_bars}\n")
    with cProfile.Profile() as profile:
        read(file)
    return sum(entry.callcount for entry in profile.getstats())


def test_a_tune_of_many_bars_is_read_in_linear_time(tmp_path: Path) -> None:
    assert calls(tmp_path, 500) < 5.2 * calls(tmp_path, 100)


def test_old_encodings(tmp_path: Path) -> None:
    file = tmp_path / "book.abc"
    file.write_bytes("X:1\nT:Señor\nK:C\nC8|]\n".encode("latin-1"))
    assert bars(read(file)[0]) == [{"1": "C8"}]
    file.write_bytes("\ufeffX:1\nT:Señor\nK:C\nC8|]\n".encode())
    assert bars(read(file)[0]) == [{"1": "C8"}]


def test_old_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "book.abc"
    file.write_bytes(b"X:1\r\nK:C\r\nC8|]\r\n\r\nX:2\r\nK:C\r\nD8|]\r\n")
    assert [bars(tune) for tune in read(file)] == [[{"1": "C8"}], [{"1": "D8"}]]


def test_binary(tmp_path: Path) -> None:
    file = tmp_path / "book.abc"
    file.write_bytes(b"\x7fELF\0\0X:1\nK:C\n")
    with pytest.raises(ScoreError, match="binary"):
        read(file)
