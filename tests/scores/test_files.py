"""Score files in every format, and files that are none."""

import zipfile
from pathlib import Path

import pytest
from music21 import converter, stream

from notagen.scores import ScoreError, from_music21, read, to_midi, to_music21, to_musicxml
from tests.helpers.music21_scores import DUET, corpus_score, one_voice

MUSIC = "c2 d2 e2 f2 | g4 c'4 |]"
CONTAINER = '<container><rootfiles><rootfile full-path="{}"/></rootfiles></container>'


@pytest.mark.parametrize("suffix", [".musicxml", ".xml"])
def test_musicxml(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"piece{suffix}"
    file.write_text(to_musicxml(one_voice(MUSIC)))
    assert read(file) == [one_voice(MUSIC)]


@pytest.mark.parametrize("inner", ["score.xml", "score.musicxml", "Sonata No. 1.musicxml"])
def test_compressed_musicxml(tmp_path: Path, inner: str) -> None:
    file = tmp_path / "piece.mxl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER.format(inner))
        archive.writestr(inner, to_musicxml(one_voice(MUSIC)))
    assert read(file) == [one_voice(MUSIC)]


def test_midi(tmp_path: Path) -> None:
    file = tmp_path / "piece.mid"
    file.write_bytes(to_midi(one_voice(MUSIC)))
    (tune,) = read(str(file))
    assert [bars["1"].text for bars in tune.bars] == ["c2 d2 e2 f2", "g4 c'4"]
    assert "Q:1/4=100" in tune.header


def test_kern(tmp_path: Path) -> None:
    file = tmp_path / "piece.krn"
    file.write_text("**kern\n*clefG2\n*k[]\n*M4/4\n=1\n2c\n4d\n8eL\n8fJ\n=2\n1g\n==\n*-\n")
    (tune,) = read(file)
    assert [bars["1"].text for bars in tune.bars] == ["C4 D2 EF", "G8"]


def test_abc_of_our_own(tmp_path: Path) -> None:
    file = tmp_path / "piece.abc"
    file.write_text(DUET)
    (tune,) = read(file)
    assert tune.to_interleaved() == DUET


def test_a_book_of_tunes(tmp_path: Path) -> None:
    file = tmp_path / "book.abc"
    file.write_text(
        "X:1\nT:One\nM:4/4\nL:1/4\nK:C\n_BBcc|c4|]\n\nX:2\nT:Two\nM:4/4\nL:1/4\nK:G\nG4|]\n"
    )
    one, two = read(file)
    assert one.bars[0]["1"].text.replace(" ", "") == "_B2B2c2c2"  # both flat: the sign holds on
    assert two.key == "G"


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.musicxml", "<score"), ("b.mxl", "not a zip"), ("c.mid", "MThd?"), ("d.abc", "% nothing")],
)
def test_unreadable(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(ScoreError, match=name):
        read(file)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="no such file"):
        read(tmp_path / "none.xml")


def test_transposing_instruments_sound_as_they_should() -> None:
    tune = one_voice("c8")
    header = (*tune.header[:-1], 'V:1 treble transpose=-2 nm="Clarinet" snm="Cl."')
    clarinet = type(tune)(header, tune.bars)
    assert from_music21(converter.parse(to_musicxml(clarinet), format="musicxml")) == clarinet
    played = converter.parseData(to_midi(clarinet), format="midi").recurse().notes[0]
    assert played.pitch.midi == 70


def test_midi_plays_all_voices() -> None:
    chorale = from_music21(corpus_score("bach/bwv274.mxl"))
    played = converter.parseData(to_midi(chorale), format="midi")
    assert [_pitches(part) for part in played.parts] == [
        _pitches(part) for part in to_music21(chorale).parts
    ]


def _pitches(part: stream.Part) -> list[int]:
    return [one.pitch.midi for one in part.stripTies().flatten().notes]
