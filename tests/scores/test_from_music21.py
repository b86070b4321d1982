"""music21's scores as text: against the recorded texts, and where scores are irregular."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from music21 import articulations, chord, clef, duration, dynamics, meter, note, spanner, stream
from music21.base import Music21Object

from notagen.notation import Tune, bar_duration
from notagen.scores import ScoreError, from_music21
from tests.helpers.music21_scores import corpus_score, through_musicxml

RECORDED = {
    # name of the recorded piece: (name in the corpus, share of its bars that are the same text)
    "bach_bwv274_mxl.abc": ("bach/bwv274.mxl", 1.0),
    "bach_bwv59_3_mxl.abc": ("bach/bwv59.3.mxl", 0.96),
    "haydn_opus1no1_movement5_mxl.abc": ("haydn/opus1no1/movement5.mxl", 1.0),
    "joplin_maple_leaf_rag_mxl.abc": ("joplin/maple_leaf_rag.mxl", 0.97),
    "mozart_k156_movement4_mxl.abc": ("mozart/k156/movement4.mxl", 0.9),
}


@pytest.mark.parametrize("name", RECORDED)
def test_writes_what_was_recorded(name: str, golden: Callable[[str], Any]) -> None:
    pieces = {piece["name"]: piece["standard"] for piece in golden("text_layer.json")["pieces"]}
    recorded = Tune.parse(pieces[name])
    corpus_name, share = RECORDED[name]
    written = from_music21(corpus_score(corpus_name))
    assert written.voices == recorded.voices
    assert len(written.bars) == len(recorded.bars)
    pairs = [
        (ours[voice], theirs[voice])
        for ours, theirs in zip(written.bars, recorded.bars, strict=True)
        for voice in recorded.voices
    ]
    assert sum(ours == theirs for ours, theirs in pairs) / len(pairs) >= share


def test_chorale_header() -> None:
    assert from_music21(corpus_score("bach/bwv274.mxl")).header == (
        "%%score 1 2 3 4",
        "L:1/8",
        "M:4/4",
        "K:Bb",
        'V:1 treble nm="Soprano" snm="S."',
        'V:2 treble nm="Alto" snm="A."',
        'V:3 treble-8 nm="Tenor" snm="T."',
        'V:4 bass nm="Bass" snm="B."',
    )


def score_of(*parts: list[stream.Measure]) -> stream.Score:
    for measures in parts:
        measures[0].insert(0, meter.TimeSignature("4/4"))
    return stream.Score([stream.Part(measures) for measures in parts])


def measure(*elements: Music21Object) -> stream.Measure:
    return stream.Measure(list(elements))


def test_unequal_parts_stay_together() -> None:
    long = [measure(note.Note("C4", type="whole")), measure(note.Note("D4", type="whole"))]
    short = [measure(note.Note("E4", type="half"))]
    tune = from_music21(score_of(long, short))
    assert [[bar.text for bar in bars.values()] for bars in tune.bars] == [
        ["C8", "E4 x4"],
        ["D8", "z8"],
    ]
    assert tune.alignment().ok


def test_overlapping_notes_become_voices() -> None:
    bar = measure()
    bar.insert(0, note.Note("C5", type="whole"))
    bar.insert(2, note.Note("E4", type="half"))
    tune = from_music21(score_of([bar]))
    assert tune.header[0] == "%%score ( 1 2 )"
    assert [bar.text for bar in tune.bars[0].values()] == ["c8", "x4 E4"]


def test_hidden_notes_are_left_out() -> None:
    trill = stream.Voice([note.Note("A4", type="whole")], id="2")
    trill[0].style.hideObjectOnPrint = True
    bar = measure()
    bar.insert(0, stream.Voice([note.Note("G4", type="whole")], id="1"))
    bar.insert(0, trill)
    assert [bar.text for bar in from_music21(score_of([bar])).bars[0].values()] == ["G8"]


def test_beams_by_the_beat_where_the_score_has_none() -> None:
    notes = [note.Note("C4", type="eighth") for _ in range(8)]
    (bar,) = from_music21(score_of([measure(*notes)])).bars
    assert bar["1"].text == "CC CC CC CC"


def test_nested_tuplets_keep_their_time() -> None:
    inner = [note.Note("C4", type="eighth") for _ in range(3)]
    for one in inner:
        one.duration.tuplets = (duration.Tuplet(3, 2), duration.Tuplet(3, 2))
    (bar,) = from_music21(score_of([measure(*inner)])).bars
    assert bar["1"].text.startswith("(9:4:3")
    assert bar_duration(bar["1"].text) == Fraction(4, 3)


def test_rounded_triplets_are_triplets() -> None:
    rounded = [341 / 1024, 342 / 1024, 341 / 1024]
    notes = [note.Note("C4", type="eighth") for _ in rounded]
    for one, length in zip(notes, rounded, strict=True):
        one.duration.tuplets = (duration.Tuplet(3, 2),)
        one.duration.linked = False
        one.duration.quarterLength = length
    (bar,) = from_music21(score_of([measure(*notes, note.Note("D4"))])).bars
    assert bar["1"].text == "(3CCC D2"


def test_slurs_between_voices_are_left_out() -> None:
    first, second = note.Note("C5", type="half"), note.Note("E4", type="half")
    bar = measure()
    bar.insert(0, stream.Voice([first, note.Note("D5", type="half")], id="1"))
    bar.insert(0, stream.Voice([note.Note("A4", type="half"), second], id="2"))
    score = score_of([bar])
    score.parts[0].insert(0, spanner.Slur([first, second]))
    assert [bar.text for bar in from_music21(score).bars[0].values()] == ["c4 d4", "A4 E4"]


def test_percussion_is_written_where_it_stands_on_its_staff() -> None:
    drum = note.Unpitched("E4", type="half")
    bar = measure(drum, note.Rest(type="half"))
    bar.insert(0, clef.PercussionClef())
    tune = from_music21(score_of([bar]))
    assert tune.header[-1] == "V:1 perc "
    assert tune.bars[0]["1"].text == "E4 z4"


def test_a_doubled_mark_is_written_once() -> None:
    struck = note.Note("C4", type="whole")
    struck.articulations = [articulations.Staccato(), articulations.Staccato()]
    assert from_music21(score_of([measure(struck)])).bars[0]["1"].text == ".C8"


def test_a_doubled_wedge_is_written_once() -> None:
    first, last = note.Note("C4", type="half"), note.Note("D4", type="half")
    score = score_of([measure(first, last)])
    for _ in range(2):
        score.parts[0].insert(0, dynamics.Crescendo([first, last]))
    assert from_music21(score).bars[0]["1"].text == "!<(! C4 D4!<)!"


def test_no_measures() -> None:
    with pytest.raises(ScoreError, match="makeMeasures"):
        from_music21(stream.Score([stream.Part([note.Note("C4")])]))


def test_no_quarter_tones() -> None:
    with pytest.raises(ScoreError, match="bar 1, voice 1: C~4"):
        from_music21(score_of([measure(note.Note("C~4", type="whole"))]))


def test_ties_of_a_chord_one_by_one() -> None:
    tune = Tune.parse("L:1/8\nM:4/4\nK:C\nV:1 treble \nV:1\n[C-E]4 [CG]4 |]")
    first = through_musicxml(tune).recurse().getElementsByClass(chord.Chord)[0]
    assert [bool(one.tie) for one in first.notes] == [True, False]


@pytest.mark.parametrize(("name", "mark"), [("mf", "!mf!"), ("f >", '"^f >"')])
def test_a_decoration_is_one_word(name: str, mark: str) -> None:
    part = [measure(dynamics.Dynamic(name), note.Note("C5", type="whole"))]
    assert from_music21(score_of(part)).bars[0]["1"].text == f"{mark} c8"
