import pytest

from notagen.notation import KEYS, keys_within, parse_key, semitones_between


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("G", "G"),
        (" Bb ", "Bb"),
        ("Gmaj", "G"),
        ("G major", "G"),
        ("Emin", "G"),
        ("Em", "G"),
        ("EM", "E"),
        ("G M", "G"),
        ("EM bass", "E"),
        ("E Minor", "G"),
        ("Ddorian", "C"),
        ("D mix", "G"),
        ("Flyd", "C"),
        ("EPhr", "C"),
        ("Bloc", "C"),
        ("Aaeo", "C"),
        ("Cion", "C"),
        ("HP", "D"),
        ("Hp", "D"),
        ("none", "C"),
        ("", "C"),
        ("Emaj clef=treble", "E"),
        ("F#m bass", "A"),
        ("G ^f =c", "G"),
        ("G exp ^f", "C"),
        ("^f _b", "C"),
        ("G#", "Ab"),
        ("Fbmin", "G"),
    ],
)
def test_signature_of_a_key_field(field, name):
    key = parse_key(field)
    assert key is not None
    assert key.name == name


def test_signature_in_semitones():
    assert parse_key("Eb").signature == (0, 0, -1, 0, 0, -1, -1)
    assert parse_key("E").signature == (1, 1, 0, 1, 1, 0, 0)
    assert parse_key("G ^c =f").signature == (1, 0, 0, 0, 0, 0, 0)
    assert parse_key("Dm^c").signature == (1, 0, 0, 0, 0, 0, -1)
    assert parse_key("C^f^c^a").signature == (1, 0, 0, 1, 0, 1, 0)
    assert parse_key("Amix_b =c clef=bass").signature == (0, 0, 0, 1, 0, 0, -1)
    assert parse_key("D exp _b_e^f").signature == (0, 0, -1, 1, 0, 0, -1)
    assert parse_key("G#").signature == (1, 1, 1, 2, 1, 1, 1)


@pytest.mark.parametrize("field", ["treble", "bass", "clef=alto", "treble-8", "perc"])
def test_a_clef_is_no_key(field):
    assert parse_key(field) is None


@pytest.mark.parametrize("field", ["Q", "Gx", "major", "G_", "G_h"])
def test_neither_key_nor_clef(field):
    with pytest.raises(ValueError, match="is not a key"):
        parse_key(field)


@pytest.mark.parametrize(
    ("field", "fifths", "moved"),
    [
        ("Emin", 2, "F#min"),
        ("Em clef=bass", -1, "Am clef=bass"),
        ("D mix", 3, "B mix"),
        ("Ab", -3, "Cb"),
        ("Ab", -4, "E"),
        ("B", 3, "Ab"),
        ("G ^f =c", 2, "A ^g =d"),
        ("none", 1, "G"),
        ("none", 0, "none"),
        ("HP", 1, "A"),
    ],
)
def test_moved(field, fifths, moved):
    assert str(parse_key(field).moved(fifths)) == moved


def test_keys_within_three_semitones_are_those_of_fine_tuning():
    assert keys_within("C", 3) == {
        **{"A": -3, "Bb": -2, "B": -1, "Cb": -1, "C": 0},
        **{"C#": 1, "Db": 1, "D": 2, "Eb": 3},
    }
    assert keys_within("F#", 0) == {"Gb": 0, "F#": 0}


def test_ways_between_keys():
    assert semitones_between("G", "D") == -5
    assert semitones_between("G", "Db") == 6
    assert all(-5 <= semitones_between(a, b) <= 6 for a in KEYS for b in KEYS)
    with pytest.raises(ValueError, match="not one of the keys"):
        semitones_between("G", "H")
