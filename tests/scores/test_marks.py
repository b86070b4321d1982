"""Every mark of the dialect goes to music21 and MusicXML and comes back as the same text."""

import re

import pytest
from music21 import converter, expressions

from notagen.notation import Tune
from notagen.scores import from_music21, to_midi, to_music21, to_musicxml
from notagen.scores.fields import parse_meter
from tests.helpers.music21_scores import DUET, one_voice, returned, through_musicxml

BARS = {
    "accidentals": "^D2 D2 =F2 _B2 | __A4 ^^c4",
    "octaves": "C,,2 C2 c''2 d'2",
    "ties": "^d4- d2 d2- | d4- d4",
    "ties across a barline keep the accidental": "z4 ^d4- | d2 =d2 d4",
    "ties of single chord notes": "[C-E]2 [CF]2 [^GB]2- [GB]2",
    "dots and short notes": "c3 d c7/2 d/ | c3/2d/4e/4 f2 g4",
    "broken rhythm": "c>d e<f g>a b2",
    "beams": "cdef gabc' | c d e f g a b c'",
    "triplets": "(3cde (3:2:2f2 g (3:2:2a2 b c2",
    "a quintuplet and a septuplet": "(5:4:5c/d/e/f/g/ a2 (7:4:7c/d/e/f/g/a/b/ c'2",
    "rests": "z2 x2 c2 !fermata!z2",
    "graces": "{d} c2 e{fg} f2 g2 g",
    "a tie over a grace note": "c4-{d} c4",
    "its accidental too": "z4 _e4- |{d} e4 e4",
    "slurs": "(c2 d2) (e2 f2) | (G(F)FE) (ED C2)",
    "articulations": ".c2 !tenuto!d2 !>!e2 !^!f2 | !wedge!g2 uc2 vd2 !1!e2",
    "ornaments": "Tc2 Md2 Pe2 !turn!f2 | !fermata!c8",
    "tremolo and arpeggio": "!///!c4 !arpeggio![CEG]4",
    "dynamics": "!p! c2!mf! d2!sf! e2!fff! f2",
    "wedges": "!<(! c2 d2!<)!!>(! e2 f2!>)!",
    "wedges back to back": "!<(! c2 d2!<(! e2!<)! f2!<)! | !>(! c4!>(! d4!>)! | e8!>)!",
    "a wedge that ends on a grace note": "!>(! c4{e!>)!} d4",
    "octave line": "!8va(! c''4 d''4!8va)!",
    "words": '"^dolce" c4"_cresc." d4',
    "chord symbols": '"Am" A4"D7" ^F4',
    "tempo": 'c4[Q:1/4=60]"^Adagio" d4 | [Q:3/8=50] c8',
    "key": "c4 c4 | [K:Bb] B4 e4 | [K:Gmin] B8",
    "metre": "c8 | [M:3/4] c6 | c6 | [M:6/8] c3 d3",
    "clef": "c8 | [K:bass] C,8 | [K:treble] c8",
    "octave clef inside": "c8 | [K:treble-8] c8",
    "upbeat": "G2 | c8 | c6",
    "a bar too long for its metre": "c8 | c4 d4 e2 | c8",
    "repeats": "c8 |: d8 :| e8 :: f8 :|",
    "a repeat at the start": "|: c8 :| d8",
    "endings": "|: c8 |1 d8 :|2 e8 || f8 |]",
    "barlines": "c8 || d8 |]",
}


@pytest.mark.parametrize("music", BARS.values(), ids=BARS)
def test_survives_music21(music: str) -> None:
    tune = one_voice(music)
    assert from_music21(to_music21(tune)) == tune


@pytest.mark.parametrize("music", BARS.values(), ids=BARS)
def test_survives_musicxml(music: str) -> None:
    tune = one_voice(music)
    assert returned(tune) == tune


NONSENSE = {
    "a unit length that is none": ("[L:x/y]c8 | [L:1/0]c8 | [L:]c8", 3),
    "no tempo": ("[Q:1/4=0]c8 | [Q:1/0=5]c8 | [Q:0/4=100]c8", 3),
    "a beat that no note lasts": ("[Q:5/8=40]c8 | [Q:3/7=40]c8", 2),
    "tuplets in the time of none": ("(3:0cde (3:2:0fga", 6),
    "words that begin as a chord": ('"Cmajmaj" c4 "Csus#b9" c4 | "C(" c4 "Cadd" c4', 4),
}


@pytest.mark.parametrize(("music", "notes"), NONSENSE.values(), ids=NONSENSE)
def test_nonsense_loses_no_notes(music: str, notes: int) -> None:
    tune = one_voice(music)
    assert len(through_musicxml(tune).recurse().getElementsByClass("Note")) == notes
    assert len(converter.parseData(to_midi(tune), format="midi").recurse().notes) == notes


def test_a_tempo_keeps_its_pace_where_no_note_lasts_its_beat() -> None:
    score = to_music21(one_voice("c4[Q:5/8=40]d4"))
    (_, mark) = score.recurse().getElementsByClass("MetronomeMark")
    assert (mark.number, mark.referent.quarterLength) == (100, 1)


def test_a_transposition_that_is_none_is_left_out() -> None:
    tune = one_voice("c8")
    odd = Tune((*tune.header[:-1], "V:1 treble transpose=--5"), tune.bars)
    assert len(to_music21(odd).recurse().notes) == 1


def test_metres_of_no_music_are_free() -> None:
    assert parse_meter("1000/1") is None
    assert parse_meter("(100+100)/8") is None
    assert parse_meter("(2+3)/8").numerator == 5


def test_a_unit_length_may_change() -> None:
    first, second = to_music21(one_voice("[L:1]c [L:1/16]c")).recurse().notes
    assert (first.quarterLength, second.quarterLength) == (4, 0.25)


def test_voices_share_a_staff() -> None:
    tune = Tune.parse(DUET)
    assert returned(tune) == tune


def test_fermatas_stand_upright() -> None:
    (fermata,) = to_music21(one_voice("!fermata!c8")).recurse().notes[0].expressions
    assert isinstance(fermata, expressions.Fermata)
    assert fermata.type == "upright"


def test_a_tie_that_reaches_no_note_of_its_pitch_is_left_out() -> None:
    xml = to_musicxml(one_voice("F2- F2- z2 F2- | C2- C6 | D8- |]"))
    assert re.findall(r'<tie type="(\w+)"', xml) == ["start", "stop", "start", "stop"]
    assert len(re.findall("<tied ", xml)) == 4
