"""Humdrum kern: spine paths, keys, dynamics, names."""

from pathlib import Path

import pytest

from notagen.notation import Tune
from notagen.scores import ScoreError, read, to_midi, to_music21, to_musicxml
from notagen.scores.source_notes import count_kern
from tests.helpers.random_kern import notes, random_kern

START = "**kern\t**kern\n*clefF4\t*clefG2\n*k[]\t*k[]\n*M2/4\t*M2/4\n"
END = "==\t==\n*-\t*-\n"


def bars_of(tune: Tune) -> list[list[str]]:
    """Text of the voices of each bar, without bars of nothing but invisible rests."""
    voices = [[bar.text for bar in bars.values()] for bars in tune.bars]
    return [[text for text in bar if not text.startswith("x")] for bar in voices]


def read_kern(tmp_path: Path, text: str) -> Tune:
    file = tmp_path / "piece.krn"
    file.write_text(text)
    (tune,) = read(file)
    assert sum(count_kern(text)) == notes(to_music21(tune)).total()
    return tune


def test_a_subspine_that_splits_again(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path,
        START + "=1\t=1\n*\t*^\n4C\t4c\t4e\n4D\t4d\t4f\n*\t*v\t*v\n"
        "=2\t=2\n*\t*^\n*\t*\t*^\n4E\t4c\t4e\t4g\n4F\t4d\t4f\t4a\n*\t*v\t*v\t*v\n"
        "=3\t=3\n*\t*^\n2G\t4cc\t2e\n.\t4dd\t.\n*\t*v\t*v\n=4\t=4\n2C\t2c\n" + END,
    )
    assert bars_of(tune) == [
        ["C2 D2", "E2 F2", "C,2 D,2"],
        ["C2 D2", "E2 F2", "G2 A2", "E,2 F,2"],
        ["c2 d2", "E4", "G,4"],
        ["C4", "C,4"],
    ]


def test_three_subspines_that_join_at_once(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path,
        "**kern\t**kern\t**dynam\n*staff2\t*staff1\t*staff1/2\n*clefF4\t*clefG2\t*\n"
        "*M2/4\t*M2/4\t*\n=1\t=1\t=1\n2C\t2c\t.\n=2\t=2\t=2\n*\t*^\t*\n*\t*\t*^\t*\n"
        "2D\t2f\t4d\t2B\t<\n.\t.\t4e\t.\t.\n*\t*v\t*v\t*v\t*\n=3\t=3\t=3\n4C\t4c\t.\n4D\t4d\t.\n"
        "=4\t=4\t=4\n2E\t2e\t.\n==\t==\t==\n*-\t*-\t*-\n",
    )
    assert bars_of(tune) == [
        ["C4", "C,4"],
        ["F4", "D2 E2", "B,4", "D,4"],
        ["C2 D2", "C,2 D,2"],
        ["E4", "E,4"],
    ]


def test_a_split_in_mid_bar_stays_in_its_voice(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path, START + "=1\t=1\n4C\t4c\n*\t*^\n4D\t8e\t8g\n.\t8d\t8f\n*\t*v\t*v\n" + END
    )
    assert [bar.text for bar in tune.bars[0].values()] == ["C2 ED", "x2 GF", "C,2 D,2"]


def test_a_subspine_that_begins_late(tmp_path: Path) -> None:
    tune = read_kern(tmp_path, START + "=1\t=1\n*\t*^\n4C\t4c\t.\n4D\t4d\t4f\n*\t*v\t*v\n" + END)
    assert [bar.text for bar in tune.bars[0].values()] == ["C2 D2", "x2 F2", "C,2 D,2"]


def test_a_subspine_that_begins_while_a_note_sounds(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path, START + "=1\t=1\n4C\t2c\n*\t*^\n4D\t.\t4e\n*\t*v\t*v\n=2\t=2\n2C\t2d\n" + END
    )
    assert bars_of(tune) == [["C4", "C,2 D,2"], ["D4", "C,4"]]
    assert tune.bars[0]["2"].text == "x2 E2"


def test_two_staves_that_join_in_one_line(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path,
        START + "=1\t=1\n*^\t*^\n2C\t2E\t2c\t2e\n*v\t*v\t*v\t*v\n=2\t=2\n2D\t2d\n" + END,
    )
    assert bars_of(tune) == [["C4", "E4", "C,4", "E,4"], ["D4", "D,4"]]


def test_subspines_that_cross(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path, START + "=1\t=1\n*x\t*x\n4cc\t4C\n4dd\t4D\n*x\t*x\n=2\t=2\n2E\t2ee\n" + END
    )
    assert bars_of(tune) == [["c2 d2", "C,2 D,2"], ["e4", "E,4"]]


@pytest.mark.parametrize("seed", range(12))
def test_random_paths_lose_no_note(tmp_path: Path, seed: int) -> None:
    text, written = random_kern(seed)
    tune = read_kern(tmp_path, text)
    assert notes(to_music21(tune)) == written
    assert sum(count_kern(text)) == written.total()
    assert all(bar.text for bars in tune.bars for bar in bars.values())


@pytest.mark.parametrize(
    ("lines", "key", "bar"),
    [
        ("*k[f#]\n*kcancel\n*G:", "G", "G2 F2 G2"),
        ("*kcancel\n*k[f#]", "G", "G2 F2 G2"),
        ("*k[f#]\n*kcancel[b-]\n*e:", "Emin", "G2 F2 G2"),
        ("*k[]\n*a:", "Amin", "G2 ^F2 G2"),
        ("*k[]\n*G:", "C", "G2 ^F2 G2"),  # where the music goes, not what is printed
        ("*G:", "G", "G2 F2 G2"),
    ],
)
def test_key_signatures(tmp_path: Path, lines: str, key: str, bar: str) -> None:
    tune = read_kern(tmp_path, f"**kern\n*clefG2\n{lines}\n*M3/4\n=1\n4g\n4f#\n4g\n==\n*-\n")
    assert tune.field("K") == key
    assert tune.bars[0]["1"].text == bar


@pytest.mark.parametrize(
    ("token", "text"),
    [("f >", "!f! C2 D2"), ("[ fz", "!fz! C2 D2"), ("p<", "!p! C2 D2"), ("<", "C2 D2")],
)
def test_dynamics_in_several_words(tmp_path: Path, token: str, text: str) -> None:
    tune = read_kern(
        tmp_path,
        "**kern\t**dynam\n*staff1\t*staff1\n*clefG2\t*\n*M2/4\t*\n=1\t=1\n"
        f"4c\t{token}\n4d\t.\n==\t==\n*-\t*-\n",
    )
    assert tune.bars[0]["1"].text == text
    assert to_musicxml(tune)
    assert to_midi(tune)


def test_dynamics_of_a_staff_that_is_not_there(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path,
        "**kern\t**dynam\n*staff1\t*staff1/2\n*M2/4\t*\n=1\t=1\n2c\tf\n==\t==\n*-\t*-\n",
    )
    assert tune.bars[0]["1"].text == "!f! C4"


def test_names_of_instruments(tmp_path: Path) -> None:
    tune = read_kern(
        tmp_path,
        "**kern\t**kern\n*Itromp\t*Iflt\n*I\"Trumpet in B-flat\t*I\"Flute 1\n*I'Tpt.\t*I'Fl.\n"
        "*ITrd-1c-2\t*\n*M4/4\t*M4/4\n=1\t=1\n1c\t1e\n==\t==\n*-\t*-\n",
    )
    assert [line for line in tune.header if line.startswith("V:")] == [
        'V:1 treble nm="Flute 1" snm="Fl."',
        'V:2 treble nm="Trumpet in B-flat" snm="Tpt."',  # kern is written as it sounds
    ]


def test_hidden_rests_are_hidden(tmp_path: Path) -> None:
    tune = read_kern(tmp_path, START + "=1\t=1\n*\t*^\n4C\t4c\t4ryy\n4D\t4d\t4f\n*\t*v\t*v\n" + END)
    assert [bar.text for bar in tune.bars[0].values()] == ["C2 D2", "x2 F2", "C,2 D,2"]


def test_two_barlines_without_music_between_them_are_one(tmp_path: Path) -> None:
    tune = read_kern(tmp_path, "**kern\n*M2/4\n=1\n2c\n=2:|!\n=2!|:\n2d\n=3\n2e\n=:|!\n==\n*-\n")
    assert [(bars["1"].text, bars["1"].right) for bars in tune.bars] == [
        ("C4", "::"),
        ("D4", "|"),
        ("E4", ":|"),
    ]


@pytest.mark.parametrize(("metre", "field"), [("2+3/8", "2+3/8"), ("3/0", "6/1"), ("4/2", "4/2")])
def test_metres(tmp_path: Path, metre: str, field: str) -> None:
    tune = read_kern(tmp_path, f"**kern\n*M{metre}\n=1\n1c\n==\n*-\n")
    assert tune.field("M") == field


def test_several_pieces_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mass.krn"
    piece = "**kern\n*M2/4\n=1\n2c\n2{}\n==\n*-\n!! next\n"
    file.write_text(piece.format("d") + piece.format("r"))
    assert [bars_of(tune) for tune in read(file)] == [[["C4 D4"]], [["C4 z4"]]]
    assert count_kern(file.read_text()) == [2, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**kern\t**kern\n=1\t=1\n4c\n*-\t*-\n", "line 3 has 1 columns, but 2 spines go on"),
        ("**text\n*M4/4\nword\n*-\n", r"no \*\*kern spine"),
    ],
)
def test_what_is_no_kern_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "piece.krn"
    file.write_text(text)
    with pytest.raises(ScoreError, match=said):
        read(file)
