import pytest

from notagen.corpus.dedup import Duplicates, shingles, signature
from notagen.notation import KEYS, Tune
from tests.helpers.melodies import melody

HEADER = "M:4/4\nL:1/8\nK:{}\n"


def tune(music: str, key: str = "C") -> Tune:
    return Tune.parse(HEADER.format(key) + music)


@pytest.mark.parametrize("key", KEYS)
def test_a_piece_has_the_same_shingles_in_every_key(key, rows):
    piece = Tune.parse(rows[0]["text"])
    assert len(shingles(piece)) > 50
    assert shingles(piece.transpose(key)) == shingles(piece)


def test_the_signature_does_not_hear_how_a_pitch_is_spelled():
    assert shingles(tune("^CD^FG ABcd|", "C")) == shingles(tune("CDFG AB=cd|", "D"))
    assert shingles(tune("^C4 C4 C4 D4 E4 F4|")) == shingles(tune("_D4 D4 D4 =D4 E4 F4|"))


def test_accidentals_last_to_the_barline_and_key_changes_from_where_they_stand():
    assert shingles(tune("^CDCD CDCD|")) == shingles(tune("^CD^CD ^CD^CD|"))
    assert shingles(tune("^CDCD|CDCD|")) == shingles(tune("^CD^CD|=CD=CD|"))
    assert shingles(tune("CDCD|[K:D]CDCD|")) == shingles(tune("CDCD|^CD^CD|"))


def test_rhythm_counts_and_unit_length_does_not():
    slow = Tune.parse("L:1/4\nK:C\nC/D/E/F/ G/A/B/c/|")
    assert shingles(slow) == shingles(tune("CDEF GABc|"))
    assert not shingles(tune("C2D2E2F2 G2A2B2c2|")) & shingles(slow)


def test_chords_graces_and_rests():
    assert shingles(tune("[CE]2 [DF]2|")) == shingles(tune("[EC]2 [FD]2|"))
    assert shingles(tune("[CE]2 [DF]2|")) != shingles(tune("[CE]2 [DG]2|"))
    assert shingles(tune("{a}CDEFGABc|")) == shingles(tune("CDEFGABc|"))
    assert signature(tune("z8|z8|")) is None


def test_near_duplicates_are_found_and_others_are_not():
    duplicates = Duplicates(0.6)
    for seed in range(50):
        values = signature(tune(melody(seed)))
        assert duplicates.find(values) is None
        duplicates.add(f"melody {seed}", values)
    again = melody(7)
    changed = again[:40] + ("C" if again[40] != "C" else "D") + again[41:]
    name, similarity = duplicates.find(signature(tune(changed).transpose("Eb")))
    assert name == "melody 7"
    assert 0.6 <= similarity < 1
    other_half = melody(7, bars=6)[:-1] + melody(99, bars=6)
    assert duplicates.find(signature(tune(other_half))) is None


def test_harmonisations_of_one_melody_are_different_pieces(rows):
    duplicates = Duplicates(0.6)
    head = "L:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 treble\nV:3 treble\nV:4 bass\n"

    def harmonised(*seeds):
        voices = [melody(1), *map(melody, seeds)]
        return signature(
            Tune.parse(head + "".join(f"V:{i}\n{m}\n" for i, m in enumerate(voices, start=1)))
        )

    duplicates.add("first", harmonised(2, 3, 4))
    assert duplicates.find(harmonised(5, 6, 7)) is None
    assert duplicates.find(harmonised(2, 3, 4)) == ("first", 1.0)
