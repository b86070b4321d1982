import re

import pytest

from notagen.corpus.reader import Reader
from notagen.corpus.sources import UNKNOWN, Source
from notagen.data.pieces import prompt_of
from notagen.notation import Tune
from notagen.patches import encode
from notagen.prompts import Prompt
from tests.helpers.melodies import abc, melody, musicxml

READER = Reader(largest=1_000_000)
NUMBERS = range(1, 251)
WIDE = (
    f"%%score {' '.join(map(str, NUMBERS))}\nL:1/8\nM:4/4\nK:C\n"
    + "".join(f"V:{number} treble\n" for number in NUMBERS)
    + "".join(f"V:{number}\nCDEFGABc|\n" for number in NUMBERS)
)


def read(path, labels=UNKNOWN):
    return READER(Source(path.name, path, labels))


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_score_becomes_a_row(file):
    [piece] = read(file("a.musicxml", musicxml(1, "Eb")), Prompt("Modern", "A", "B"))["pieces"]
    row = piece["row"]
    text = row.pop("text")
    assert row == {
        "piece": "a.musicxml",
        "period": "Modern",
        "composer": "A",
        "instrumentation": "B",
        "key": "Eb",
        "bars": 12,
        "voices": 1,
        "characters": len(text),
    }
    assert Tune.parse(text).alignment().ok
    assert text.isascii()


def test_labels_become_what_patches_can_hold(file):
    labels = Prompt("Romantic", "Dvořák,\n Antonín", "Vocal–Orchestral")
    [piece] = read(file("a.abc", abc(melody(1))), labels)["pieces"]
    assert piece["row"]["composer"] == "Dvorak, Antonin"
    encode(str(prompt_of(piece["row"])) + piece["row"]["text"])


def test_tunes_of_a_book_are_numbered(file):
    book = "\n".join(f"X:{n}\nT:Tune\nM:4/4\nL:1/8\nK:C\n{melody(n)}\n" for n in (1, 2, 3))
    outcome = read(file("book.abc", book))
    names = [piece["row"]["piece"] for piece in outcome["pieces"]]
    assert names == ["book.abc#1", "book.abc#2", "book.abc#3"]
    assert not outcome["rejected"]


def test_a_tune_that_is_none_does_not_lose_the_others(file):
    head = "T:Tune\nM:4/4\nL:1/8\nK:C\n"
    outcome = read(
        file("book.abc", f"X:1\n{head}{melody(1)}\n\nX:2\n{head}\nX:3\n{head}{melody(3)}\n")
    )
    names = [piece["row"]["piece"] for piece in outcome["pieces"]]
    assert names == ["book.abc#1", "book.abc#3"]
    [rejected] = outcome["rejected"]
    assert rejected["piece"] == "book.abc#2"
    assert rejected["reason"] == "silent: it has no note"


def test_a_score_without_labels_is_asked_for_its_composer(file):
    path = file("a.abc", abc(melody(1)).replace("M:", "C:Turlough O'Carolan\nM:"))
    [asked] = read(path, labels=None)["pieces"]
    assert asked["row"]["composer"] == "O'Carolan, Turlough"
    [told] = read(path, labels=UNKNOWN)["pieces"]
    assert told["row"]["composer"] == ""


def test_each_tune_of_a_book_has_its_composer(file):
    fields = ["C:Trad.", "C:traditional", "C:arr. Ann Lee", r"C:Ren\'e Vierne", ""]
    tunes = [abc(melody(n)).replace("M:", f"{field}\nM:") for n, field in enumerate(fields)]
    pieces = read(file("book.abc", "\n".join(tunes)), labels=None)["pieces"]
    assert [piece["row"]["composer"] for piece in pieces] == [
        *["Traditional"] * 2,
        "",
        "Vierne, Rene",
        "",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason", "position"),
    [
        ("a.mxl", b"PK\x03\x04 cut short", "unreadable: .*zip", ""),
        ("a.xml", "<score-partwise/>", r"unreadable: .*a\.xml: it holds no bar of music", ""),
        ("a.mid", b"\x00\x01\x02junk" * 100, "unreadable: ", ""),
        ("a.abc", bytes(range(256)) * 10, "unreadable: ", ""),
        ("a.krn", b"\xff\xfe\x00" * 100, "unreadable: ", ""),
        (
            "a.xml",
            "<score-partwise>\n<part>\n</score-partwise>",
            "unreadable: .*mismatched",
            "line 3",
        ),
        ("a.xml", "<html><body>404</body></html>", "unreadable: ", ""),
        ("a.abc", "", "refused: empty", ""),
        ("a.abc", "\n" * 2_000_000, "refused: 2,000,000 bytes", ""),
        ("a.abc", "X:1\nM:4/4\nL:1/8\nK:C\nz8|z8|]\n", "silent: ", ""),
        ("a.abc", WIDE, r"too wide: its header of 250 voices takes \d+ patches, and half", ""),
        (
            "a.abc",
            "%%score 1 2\nL:1/8\nM:4/4\nK:C\nV:1\nV:2\nV:1\nC8|D8|E8|]\nV:2\nC8|D8|]\n",
            "uneven: voice 2 has no bar 3 of 3",
            "bar 3",
        ),
    ],
)
def test_what_cannot_be_used_is_rejected_with_reason_and_position(
    file, name, content, reason, position
):
    path = file(name, content)
    outcome = read(path)
    assert not outcome["pieces"]
    [rejected] = outcome["rejected"]
    assert rejected["piece"] == name
    assert rejected["file"] == str(path)
    assert rejected["position"] == position
    assert re.match(reason, rejected["reason"], re.DOTALL)
