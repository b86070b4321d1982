"""Scores of the corpus through text and MusicXML: every note, tie and fermata comes back."""

import pytest
from music21 import corpus, note

from benchmarks.agreement import Agreement, add, compare
from notagen.notation import Tune
from notagen.scores import from_music21, to_music21
from tests.helpers.music21_scores import corpus_score, one_voice, through_musicxml

CHORALES = [
    "bach/bwv190.7-inst.mxl",  # 15 parts
    "bach/bwv41.6.mxl",  # 9 parts, repeats in each
    "bach/bwv328.mxl",  # 40 repeats
    "bach/bwv8.6.mxl",  # endings
    "bach/bwv846.mxl",  # a keyboard: two staves, voices on one of them
    "bach/bwv248.23-2.mxl",  # ties
    "bach/bwv161.6.mxl",  # many ties
    "bach/bwv299.mxl",  # grace notes
    "bach/bwv274.mxl",  # upbeat, octave clef, slur
    "bach/bwv59.3.mxl",  # groups within the score
    "bach/bwv69.6.xml",  # not compressed
    "bach/bwv104.6.mxl",
]

OTHERS = [
    "haydn/opus1no1/movement5.mxl",
    "mozart/k156/movement4.mxl",
    "beethoven/opus18no1/movement4.mxl",
    "schumann_robert/dichterliebe_no2.xml",
    "schumann_clara/polonaise_op1n1.mxl",
    "joplin/maple_leaf_rag.mxl",
]


def conversion(name: str) -> dict[str, Agreement]:
    original = corpus_score(name)
    return compare(original, through_musicxml(from_music21(original)))


@pytest.mark.parametrize("name", CHORALES)
def test_chorale(name: str) -> None:
    agreement = conversion(name)
    assert agreement["notes"].original > 50
    assert {kind: found for kind, found in agreement.items() if found.f1 < 1} == {}


@pytest.mark.slow
def test_all_chorales() -> None:
    """No file fails and nothing is lost: the list of exceptions is empty."""
    files = [file for file in corpus.getComposer("bach") if file.suffix in (".mxl", ".xml")]
    assert len(files) == 410
    lost = {}
    for file in files:
        agreement = conversion(f"bach/{file.name}")
        if any(found.f1 < 1 for found in agreement.values()):
            lost[file.name] = agreement
    assert lost == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_music(name: str) -> None:
    agreement = conversion(name)
    for kind in ("notes", "ties", "fermatas", "graces", "tuplets", "repeats", "endings"):
        assert agreement.get(kind, Agreement(0, 0, 0)).f1 == 1, kind


def test_a_text_with_rests_left_out_is_the_same_music() -> None:
    tune = from_music21(corpus_score("joplin/maple_leaf_rag.mxl"))
    left_out = Tune.parse(tune.to_interleaved(omit_rests=True))
    assert left_out != tune
    assert compare(to_music21(tune), to_music21(left_out))["notes"].f1 == 1


def test_compare_misses_nothing() -> None:
    whole = one_voice("(!fermata!c4- c2) ^d2 |: .e8 :|")
    less = one_voice("c4 c2 d2 |: e8 |")
    agreement = compare(to_music21(whole), to_music21(less))
    assert agreement["notes"] == Agreement(4, 4, 3)
    for kind in ("ties", "fermatas", "slurs", "articulations"):
        assert agreement[kind] == Agreement(1, 0, 0), kind
    assert agreement["repeats"] == Agreement(2, 1, 1)


def test_compare_sees_time() -> None:
    agreement = compare(to_music21(one_voice("c4 d4")), to_music21(one_voice("c4 x2 d2")))
    assert agreement["notes"] == Agreement(2, 2, 1)
    assert agreement["notes"].f1 == 0.5


def test_add() -> None:
    total = add(
        {"notes": Agreement(4, 3, 2)}, {"notes": Agreement(1, 1, 1), "ties": Agreement(1, 0, 0)}
    )
    assert total == {"notes": Agreement(5, 4, 3), "ties": Agreement(1, 0, 0)}
    assert Agreement(0, 0, 0).f1 == 1


def test_pitches_sound_as_in_the_score() -> None:
    """The tenor's clef stands an octave above what it sounds."""
    tenor = to_music21(from_music21(corpus_score("bach/bwv274.mxl"))).parts[2]
    first = tenor.recurse().getElementsByClass(note.Note)[0]
    assert first.pitch.nameWithOctave == "D4"
