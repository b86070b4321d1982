import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation import KEYS, Tune, semitones_between
from tests.helpers.random_scores import examples, sounding, tunes


def moved(bar, source, target):
    """One bar from one key to another."""
    tune = Tune.parse(f"K:{source}\n[V:1]{bar}|\n").transpose(target)
    return tune.bars[0]["1"].text


@examples
@given(tunes(complete=False), st.sampled_from(KEYS))
def test_every_note_moves_by_the_same_interval(tune, key):
    semitones = semitones_between(tune.key, key)
    expected = {
        voice: [[pitch + semitones for pitch in bar] for bar in bars]
        for voice, bars in sounding(tune).items()
    }
    transposed = tune.transpose(key)
    assert sounding(transposed) == expected
    assert transposed.key == key


@examples
@given(tunes(), st.sampled_from(KEYS))
def test_there_and_back_sounds_the_same_up_to_the_octave(tune, key):
    back = tune.transpose(key).transpose(tune.key)
    octave = semitones_between(tune.key, key) + semitones_between(key, tune.key)
    assert octave in (0, 12)
    for voice, bars in sounding(tune).items():
        assert sounding(back)[voice] == [[pitch + octave for pitch in bar] for bar in bars]


@examples
@given(tunes(), st.sampled_from(KEYS))
def test_only_pitches_change(tune, key):
    transposed = tune.transpose(key)
    assert transposed.voices == tune.voices
    assert transposed.alignment() == tune.alignment()


@pytest.mark.parametrize(
    ("source", "target", "tonic", "expected"),
    [
        ("G", "Db", "G", "d"),  # six semitones: up
        ("G", "D", "G", "D"),
        ("C", "F#", "c", "f"),
        ("C", "G", "c", "G"),
        ("Bb", "Eb", "B,", "E"),
        ("Bb", "F", "B,", "F,"),
        ("B", "Cb", "B", "c"),
    ],
)
def test_the_nearest_octave_is_taken(source, target, tonic, expected):
    assert moved(tonic, source, target) == expected


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ("c^cc=c", "d^dd=d"),
        ("^c C", "^d D"),  # an accidental holds in its own octave
        ("^c^c", "^dd"),
        ("_B=B", "=c^c"),
        ("[C^E]2 E", "[D^^F]2 F"),
        ("{/^f}g f", "{/^g}a g"),
        ("(3C>D_E (5CDEFG", "(3D>E=F (5DEFGA"),
        ("^c & ^c", "^d & ^d"),  # an overlaid voice, and a new key, start afresh
        ("^c [K:F] ^c [K:bass] ^c", "^d [K:G] ^d [K:bass] d"),
        ("___B", "__c"),
    ],
)
def test_accidentals_of_a_bar(bar, expected):
    assert moved(bar, "C", "D") == expected


def test_the_key_that_was_there_already_starts_afresh_too():
    assert moved("^^F [K:C] F", "C", "C#") == "G [K:C#] F"


def test_no_note_is_altered_by_three():
    assert moved("^^F ^^c", "C", "C#") == "G d"  # not ^^^F, ^^^c
    assert moved("__F", "C", "Cb") == "__E"


@pytest.mark.parametrize(
    "text", ['"Coda"', '"^Fine"', '"_D.C."', '"Fine"', '"^A"', "!D.C.!", '"Bass"', '"@1,2 C"']
)
def test_words_stay(text):
    assert moved(f"{text} c", "C", "D") == f"{text} d"


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("Am7/G", "Cm7/Bb"),
        ("Am7/g", "Cm7/Bb"),
        ("F#dim", "Adim"),
        ("Bbmaj7", "Dbmaj7"),
        ("C7(#9)", "Eb7(#9)"),
        ("E", "G"),
        ("Gsus4", "Bbsus4"),
    ],
)
def test_chord_symbols_move(symbol, expected):
    assert moved(f'"{symbol}"c', "C", "Eb") == f'"{expected}"e'


def test_key_changes_move_and_other_fields_stay():
    bar = "[K:F] B [K:bass] [M:3/4][Q:1/4=60] =B [K:Am] ^G"
    assert moved(bar, "C", "D") == "[K:G] c [K:bass] [M:3/4][Q:1/4=60] ^c [K:Bm] ^A"


def test_a_key_change_holds_for_the_rest_of_its_voice():
    tune = Tune.parse("K:C\n[V:1][K:F]B|[V:2]B|\n[V:1]=B|[V:2]=B|\n").transpose("Eb")
    assert [bar.text for bar in tune.bars[1].values()] == ["=d", "d"]


def test_a_passage_past_seven_flats_goes_to_its_enharmonic_key():
    assert moved("A [K:Db] F d", "Ab", "Cb") == "c [K:E] G e"


def test_clefs_and_percussion_stay():
    tune = Tune.parse(
        'K:Emin clef=treble\nV:1 treble-8\nV:2 nm="Drums" clef=perc\n[V:1]e|[V:2]^e|\n'
    ).transpose("F")
    assert tune.header[:2] == ("K:Dmin clef=treble", "V:1 treble-8")
    assert (tune.bars[0]["1"].text, tune.bars[0]["2"].text) == ("d", "^e")


@pytest.mark.parametrize("key", ["H", "Am", "G#", ""])
def test_keys_are_the_fifteen(key):
    with pytest.raises(ValueError, match="not one of the keys"):
        Tune.parse("K:C\nC|").transpose(key)


def test_a_tune_without_key_cannot_move():
    with pytest.raises(ValueError, match="no K: line"):
        Tune.parse("L:1/8\nC|").transpose("D")
