"""Notes of ABC files, counted without the parser."""

import pytest

from notagen.scores.source_notes import counts


@pytest.mark.parametrize(
    ("music", "notes"),
    [
        ("CDEF|gabc'|", 8),
        ("[CEG]2 {/ga}c z Z2 x|", 6),
        ("A-A|(3ABc (5:4:5abcde|", 10),
        ("!fade!A +accent+B +fermata+c +p+d +CEG+2|", 7),
        ('"Am7"A "^face"B [K:D][V:1]c [r:bag]d % bad face', 4),
        ("A:|\nB:a bag of cabbage\nw:bad egg\nd:egg\n+:bag\n%%text face\nA:: B|", 3),
        ("%%begintext\nbad face\n%%endtext\n^C_D=E", 3),
        ("c!d|e!f|\nTA uB HC|", 7),
        ("C&E|", 2),
    ],
)
def test_letters_of_notes(tmp_path, music, notes):
    file = tmp_path / "a.abc"
    file.write_text(f"X:1\nT:A bad face\nH:bag\nK:D maj\n{music}\n")
    assert counts(file) == [notes]


def test_tunes_of_a_book_one_by_one(tmp_path):
    file = tmp_path / "a.abc"
    file.write_text(
        "a bad face\n\nX:1\nK:C\nCDE|\n\na face\n\nX:2\nT:no key\nabc\n\nX:3\nK:D\nA|\n"
    )
    assert counts(file) == [3, 0, 1]


def test_formats_that_nothing_counts(tmp_path):
    (tmp_path / "a.unknown").write_text("C")
    assert counts(tmp_path / "a.unknown") is None
