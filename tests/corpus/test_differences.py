"""Pieces that were read wrong: notes lost or added, and bars far longer than their metre."""

import json

import pytest

from notagen.corpus.build import prepare
from notagen.corpus.differences import Differences, differences
from notagen.corpus.reader import Reader
from notagen.corpus.selection import Rules, Selection
from notagen.corpus.sources import folder
from notagen.notation import Tune
from tests.helpers.melodies import abc, melody, write_melodies

HEADER = "L:1/8\nM:2/4\nK:C\n"


@pytest.mark.parametrize(
    ("music", "notes", "added"),
    [
        ("CDEF|GABc|", 8, 0),
        ("CDEF|GABc|", 9, -1),
        ("CDEF|GABc|", 5, 3),
        ("CDEF|GABc|", None, 0),
        ("[CE]2-[CE]2|{ga}c4|", 7, 0),
        ("[CE]2-[CE]2|{ga}c4|", 5, 0),  # a file may write a tied note as one
        ("[CE]2-[CE]2|{ga}c4|", 4, 1),
        ("{[ac]}A2{b}[Bd]2|z4|", 6, 0),
        ("[C-E]2C2|z4|", 2, 0),
        ("[C-E]2C2|z4|", 4, -1),
    ],
)
def test_notes_lost_and_added(music, notes, added):
    assert differences(Tune.parse(HEADER + music), notes).added == added


@pytest.mark.parametrize(
    ("music", "bar", "metres"),
    [
        ("CDEF|C16|C4|", 2, 4),
        ("C4|[M:6/8]C6|C4|[M:4/4]C16|", 4, 2),
        ("C4&E12|C4|", 1, 3),
        ("[M:none]C4|C64|", 2, 1),
    ],
)
def test_the_longest_bar_in_its_metre(music, bar, metres):
    found = differences(Tune.parse(HEADER + music), None)
    assert (found.bar, found.metres) == (bar, metres)


def prepared(root, texts, **rules):
    scores = root / "scores"
    write_melodies(scores, range(3))
    for name, text in texts.items():
        (scores / name).write_text(text)
    card = prepare(folder(str(scores)), root / "out", Rules(**rules), Reader(), processes=1)
    rejected = [json.loads(line) for line in (root / "out/rejected.jsonl").open()]
    return card, {one["piece"]: (one["reason"], one["position"]) for one in rejected}


def test_a_piece_with_an_endless_bar_is_left_out(tmp_path):
    endless = abc(melody(7) + "|" + "CDEFGABc" * 9 + "|]")
    card, rejected = prepared(tmp_path, {"endless.abc": endless})
    assert rejected == {
        "endless.abc": ("misread: bar 13 lasts 9 times its metre (rules.bar_metres)", "bar 13")
    }
    assert card["rejected"] == {"misread": 1}
    assert card["differences"] == {}


@pytest.mark.parametrize(
    ("added", "share", "reason"),
    [
        (-4, 0.05, ""),
        (4, 0.05, ""),
        (-6, 0.05, "misread: its text lacks 6 notes, and the file has 96"),
        (6, 0.05, "misread: its text adds 6 notes, and the file has 96"),
        (-1, 0, "misread: its text lacks 1 notes, and the file has 96"),
    ],
)
def test_a_piece_with_a_few_notes_lost_or_added_is_kept_and_counted(tmp_path, added, share, reason):
    write_melodies(tmp_path, range(1))
    (source,) = folder(str(tmp_path))
    outcome = Reader()(source)
    (piece,) = outcome["pieces"]
    assert piece["differences"] == Differences(notes=96, added=0, bar=1, metres=1)
    piece["differences"] = Differences(notes=96, added=added, bar=1, metres=1)
    selection = Selection(Rules(note_difference=share))
    selection.add(source, "key", json.loads(json.dumps(outcome)))  # as the journal keeps it
    kind = "notes added" if added > 0 else "notes lost"
    assert selection.card.as_dict()["differences"] == ({} if reason else {kind: 1})
    assert [one["reason"].partition(" (")[0] for one in selection.rejected] == (
        [reason] if reason else []
    )


def test_a_threshold_that_leaves_out_everything_is_refused():
    with pytest.raises(ValueError, match=r"rules\.bar_metres=0.5 leaves out every piece"):
        Rules(bar_metres=0.5)
