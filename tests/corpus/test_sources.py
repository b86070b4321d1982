import csv
from collections import Counter

import pytest

from notagen.corpus import sources
from notagen.corpus.sources import chorales, music21

LICENSED = ["essen", "monteverdi", "palestrina", "trecento"]


def test_the_chorales_are_bachs_four_part_settings():
    found = chorales()
    assert len(found) == 409
    assert {tuple(source.labels) for source in found} == {
        ("Baroque", "Bach, Johann Sebastian", "Choral")
    }
    assert "bach/bwv269.mxl" in {source.piece for source in found}
    assert "bach/bwv846.mxl" not in {source.piece for source in found}


def test_every_row_of_the_table_finds_scores_and_labels_fully_or_not_at_all():
    with sources._TABLE.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["use"] for row in table} == {"default", "test", "include"}
    for row in table:
        assert list(sources._listed(row)), f"{row['files']} finds nothing"
        assert bool(row["licence"]) == (row["use"] == "include")
        assert bool(row["period"]) == bool(row["instrumentation"])


def test_licensed_collections_are_read_on_request_alone():
    assert music21("trecento") == music21(["trecento"])
    free = music21()
    everything = music21(LICENSED)
    assert not any(source.licence for source in free)
    extra = [source for source in everything if source.licence]
    assert len(everything) == len(free) + len(extra)
    folders = Counter(source.piece.split("/")[0] for source in extra)
    assert folders == {"essenFolksong": 31, "monteverdi": 49, "palestrina": 1318, "trecento": 103}
    assert [source.piece for source in everything[: len(free)]] == [s.piece for s in free]


def test_a_work_is_listed_once_and_with_the_labels_of_its_first_row():
    found = music21(LICENSED)
    assert len({source.piece for source in found}) == len(found)
    labels = {source.piece: source.labels for source in found}
    assert labels["bach/bwv846.mxl"].instrumentation == "Keyboard"
    assert labels["mozart/k545/movement1_exposition.mxl"].instrumentation == "Keyboard"
    assert labels["schumann_robert/opus41no1/movement1.mxl"].instrumentation == "Chamber"
    assert "beethoven/opus18no1/movement1.krn" not in labels, "a second copy of the .mxl"


def test_other_styles_are_held_out():
    held_out = {source.piece.split("/")[0] for source in music21() if source.split == "test"}
    assert {"joplin", "schubert", "webern"} <= held_out
    assert not held_out & {"bach", "beethoven", "haydn", "mozart", "ryansMammoth"}


def test_unknown_collections_are_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"does not know vivaldi; choose from essen, monteverdi"):
        music21(["vivaldi"])
