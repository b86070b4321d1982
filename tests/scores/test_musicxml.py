"""MusicXML: archives, and what is mended before music21 reads it."""

import zipfile
from pathlib import Path

import pytest

from notagen.notation import Tune
from notagen.scores import ScoreError, read, to_midi, to_music21, to_musicxml
from notagen.scores.source_notes import count_musicxml
from tests.helpers.random_kern import notes

CONTAINER = (
    '<container{}><rootfiles><rootfile full-path="{}"/>'
    '<rootfile full-path="pages.pdf" media-type="application/pdf"/></rootfiles></container>'
)
TREBLE = "<clef><sign>G</sign><line>2</line></clef>"
TWO_STAVES = (
    '<staves>2</staves><clef number="1"><sign>G</sign><line>2</line></clef>'
    '<clef number="2"><sign>F</sign><line>4</line></clef>'
)


def score(*parts: list[str]) -> str:
    """A document of parts, each a list of the contents of its bars."""
    names = "".join(
        f'<score-part id="P{n}"><part-name>P{n}</part-name></score-part>'
        for n in range(1, len(parts) + 1)
    )
    music = "".join(
        f'<part id="P{n}">'
        + "".join(bar if "<measure " in bar else f"<measure>{bar}</measure>" for bar in bars)
        + "</part>"
        for n, bars in enumerate(parts, start=1)
    )
    return f"<score-partwise><part-list>{names}</part-list>{music}</score-partwise>"


def attributes(time: str = "4/4", more: str = TREBLE, fifths: int = 0) -> str:
    """Attributes of the first bar; four divisions to the quarter."""
    beats, unit = time.split("/")
    return (
        f"<attributes><divisions>4</divisions><key><fifths>{fifths}</fifths></key><time><beats>"
        f"{beats}</beats><beat-type>{unit}</beat-type></time>{more}</attributes>"
    )


def note(name: str, duration: int, more: str = "", staff: int = 1, voice: int = 1) -> str:
    """A note such as ``C5``, or a rest: ``r``, ``R`` for a measure rest."""
    head = {"r": "<rest/>", "R": '<rest measure="yes"/>'}.get(name) or (
        f"<pitch><step>{name[0]}</step><octave>{name[1]}</octave></pitch>"
    )
    return (
        f"<note>{head}<duration>{duration}</duration><voice>{voice}</voice>{more}"
        f"<staff>{staff}</staff></note>"
    )


def back(duration: int) -> str:
    return f"<backup><duration>{duration}</duration></backup>"


def upbeat(content: str) -> str:
    return f'<measure number="0" implicit="yes">{content}</measure>'


def read_text(tmp_path: Path, text: str) -> Tune:
    file = tmp_path / "piece.musicxml"
    file.write_text(text)
    (tune,) = read(file)
    assert count_musicxml(text) == notes(to_music21(tune)).total()
    assert to_musicxml(tune)
    assert to_midi(tune)
    return tune


def texts(tune: Tune) -> list[list[str]]:
    return [[bar.text for bar in bars.values()] for bars in tune.bars]


@pytest.mark.parametrize(
    ("transpose", "semitones"),
    [
        ("<chromatic>0</chromatic><octave-change>-1</octave-change>", -12),
        ("<chromatic>-2</chromatic><octave-change>-1</octave-change>", -14),
        ("<chromatic>3</chromatic>", 3),
        ("<diatonic>-1</diatonic><chromatic>-2</chromatic><octave-change>-1</octave-change>", -14),
    ],
)
def test_transposition(tmp_path: Path, transpose: str, semitones: int) -> None:
    start = attributes(more=f"{TREBLE}<transpose>{transpose}</transpose>")
    tune = read_text(tmp_path, score([start + note("C5", 16)]))
    assert texts(tune) == [["c8"]]
    assert f"V:1 treble transpose={semitones}" in tune.header[-1]


@pytest.mark.parametrize("namespace", ["", ' xmlns="urn:oasis:names:tc:opendocument:container"'])
@pytest.mark.parametrize("suffix", ["mxl", "musicxml", "xml"])
def test_the_score_that_the_container_names(tmp_path: Path, suffix: str, namespace: str) -> None:
    file = tmp_path / f"piece.{suffix}"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("lg-1.xml", score([attributes() + note("G5", 16)]))
        archive.writestr("META-INF/container.xml", CONTAINER.format(namespace, "score.xml"))
        archive.writestr("score.xml", score([attributes() + note("C5", 16)]))
    (tune,) = read(file)
    assert texts(tune) == [["c8"]]


def test_an_archive_without_a_container(tmp_path: Path) -> None:
    file = tmp_path / "piece.mxl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("page.png", b"")
        archive.writestr("score.xml", score([attributes() + note("C5", 16)]))
    (tune,) = read(file)
    assert texts(tune) == [["c8"]]


def test_an_archive_without_a_score(tmp_path: Path) -> None:
    file = tmp_path / "piece.mxl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER.format("", "score.xml"))
    with pytest.raises(ScoreError, match="archive holds no MusicXML"):
        read(file)


def test_a_plain_file_with_the_ending_of_an_archive(tmp_path: Path) -> None:
    file = tmp_path / "piece.mxl"
    file.write_text(score([attributes() + note("C5", 16)]), encoding="utf-16")
    (tune,) = read(file)
    assert texts(tune) == [["c8"]]


def test_music_by_time_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "piece.xml"
    file.write_text("<score-timewise><part-list/></score-timewise>")
    with pytest.raises(ScoreError, match=r"score-timewise.*MuseScore"):
        read(file)


def test_an_upbeat_with_a_measure_rest_in_another_part(tmp_path: Path) -> None:
    tune = read_text(
        tmp_path,
        score(
            [upbeat(attributes() + note("G4", 4)), note("C5", 16)],
            [upbeat(attributes() + note("R", 4)), note("C4", 16)],
        ),
    )
    assert texts(tune) == [["G2", "z2"], ["c8", "C8"]]


def test_an_upbeat_with_a_measure_rest_in_another_staff(tmp_path: Path) -> None:
    tune = read_text(
        tmp_path,
        score(
            [
                upbeat(
                    attributes("3/4", TWO_STAVES) + note("G4", 4) + back(4) + note("R", 4, "", 2, 5)
                ),
                note("C5", 12) + back(12) + note("R", 12, "", 2, 5),
            ]
        ),
    )
    assert texts(tune) == [["G2", "z2"], ["c6", "z6"]]


def test_a_bar_that_a_repeat_splits(tmp_path: Path) -> None:
    tune = read_text(
        tmp_path,
        score(
            [attributes("3/4") + note("G4", 8), note("C5", 4), note("C5", 12)],
            [attributes("3/4") + note("R", 8), note("R", 4), note("R", 12)],
        ),
    )
    assert texts(tune) == [["G4", "z4"], ["c2", "z2"], ["c6", "z6"]]


def test_an_upbeat_in_which_all_rest(tmp_path: Path) -> None:
    tune = read_text(tmp_path, score([upbeat(attributes() + note("R", 4)), note("C5", 16)]))
    assert texts(tune) == [["z2"], ["c8"]]


def test_a_measure_rest_that_miscounts_a_full_bar(tmp_path: Path) -> None:
    tune = read_text(
        tmp_path,
        score([attributes("5/4") + note("C5", 20)], [attributes("5/4") + note("R", 16)]),
    )
    assert texts(tune) == [["c10", "z10"]]


def repeat(kind: str, bars: str = "", staff: str = "") -> str:
    return (
        f"<attributes><measure-style{staff}><measure-repeat type='{kind}'>{bars}</measure-repeat>"
        "</measure-style></attributes>"
    )


def test_a_repeated_bar(tmp_path: Path) -> None:
    bars = [
        attributes() + note("C5", 8) + note("E5", 8),
        repeat("start", "1") + note("R", 16),
        note("R", 16),
        repeat("stop") + note("G4", 16),
    ]
    assert texts(read_text(tmp_path, score(bars))) == [["c4 e4"], ["c4 e4"], ["c4 e4"], ["G8"]]


def test_two_repeated_bars(tmp_path: Path) -> None:
    bars = [
        attributes() + note("C5", 16),
        note("E5", 16),
        repeat("start", "2") + note("R", 16),
        "",
        repeat("stop") + note("R", 16),
    ]
    assert texts(read_text(tmp_path, score(bars))) == [["c8"], ["e8"], ["c8"], ["e8"], ["z8"]]


def test_a_bar_repeated_in_one_staff(tmp_path: Path) -> None:
    bars = [
        attributes(more=TWO_STAVES)
        + note("C5", 16)
        + back(16)
        + note("C3", 8, "", 2, 5)
        + note("E3", 8, "", 2, 5),
        repeat("start", "1", " number='2'") + note("D5", 16) + back(16) + note("R", 16, "", 2, 5),
    ]
    tune = read_text(tmp_path, score(bars))
    assert texts(tune) == [["c8", "C,4 E,4"], ["d8", "C,4 E,4"]]


def test_a_repeated_bar_whose_notes_are_written(tmp_path: Path) -> None:
    bars = [attributes() + note("C5", 16), repeat("start", "1") + note("D5", 16)]
    assert texts(read_text(tmp_path, score(bars))) == [["c8"], ["d8"]]


def tablature(number: int, of: int = 2) -> str:
    """Clefs of a guitar with tablature on one of its staves."""
    clefs = "".join(
        f'<clef number="{n}">'
        + (
            "<sign>TAB</sign><line>5</line></clef>"
            if n == number
            else "<sign>G</sign><line>2</line><clef-octave-change>-1</clef-octave-change></clef>"
        )
        for n in range(1, of + 1)
    )
    return f'<staves>{of}</staves>{clefs}<staff-details number="{number}"/>'


def test_tablature_below_its_staff(tmp_path: Path) -> None:
    first = attributes(more=tablature(2))
    bars = [
        first
        + note("E4", 8)
        + note("G4", 8)
        + back(16)
        + note("E4", 8, "", 2, 5)
        + note("G4", 8, "", 2, 5),
        note("C4", 16) + back(16) + note("C4", 16, "", 2, 5),
    ]
    tune = read_text(tmp_path, score(bars))
    assert tune.field("V").startswith("1 treble-8")
    assert texts(tune) == [["e4 g4"], ["c8"]]


def test_tablature_above_its_staff(tmp_path: Path) -> None:
    bars = [
        attributes(more=tablature(1))
        + note("E4", 16)
        + back(16)
        + note("E4", 8, "", 2, 5)
        + note("G4", 8, "", 2, 5),
        note("R", 16) + back(16) + note("C4", 16, "", 2, 5),
    ]
    tune = read_text(tmp_path, score(bars))
    assert texts(tune) == [["e4 g4"], ["c8"]]


def test_tablature_with_notes_of_its_own(tmp_path: Path) -> None:
    bars = [attributes(more=tablature(2)) + note("E4", 16) + back(16) + note("A3", 16, "", 2, 5)]
    assert texts(read_text(tmp_path, score(bars))) == [["e8", "A8"]]


def test_tablature_alone(tmp_path: Path) -> None:
    clef = "<clef><sign>TAB</sign><line>5</line></clef>"
    tune = read_text(tmp_path, score([attributes(more=clef) + note("E4", 16)]))
    assert tune.field("V").startswith("1 treble-8")
    assert texts(tune) == [["e8"]]


def test_slashes_have_no_pitch(tmp_path: Path) -> None:
    slash = note("B4", 4, "<notehead>slash</notehead>")
    chord = slash.replace("<pitch>", "<chord/><pitch>").replace("B", "D")
    bars = [attributes("3/4") + slash + chord + slash + note("C5", 4), slash * 3]
    assert texts(read_text(tmp_path, score(bars))) == [["x2 x2 c2"], ["x2 x2 x2"]]


def test_other_heads_are_notes(tmp_path: Path) -> None:
    cross = note("B4", 4, "<notehead>x</notehead>")
    assert texts(read_text(tmp_path, score([attributes("1/4") + cross]))) == [["B2"]]


def test_hidden_chords_are_left_out(tmp_path: Path) -> None:
    hidden = note("A3", 4).replace("<note>", '<note print-object="no">')
    chord = hidden.replace("<pitch>", "<chord/><pitch>").replace("3", "4")
    tune = read_text(tmp_path, score([attributes("2/4") + note("C5", 4) + hidden + chord]))
    assert texts(tune) == [["c2 x2"]]


@pytest.mark.parametrize(
    ("beats", "field"), [("3+2/8", "3+2/8"), ("2+2+3/16", "2+2+3/16"), ("1+1/4", "1+1/4")]
)
def test_composite_metres(tmp_path: Path, beats: str, field: str) -> None:
    tune = read_text(tmp_path, score([attributes(beats) + note("C5", 2) * 3]))
    assert tune.field("M") == field
    assert tune.metre is not None
    assert [bar.replace(" ", "") for bar in texts(tune)[0]] == ["ccc"]


def test_a_metre_of_two_units(tmp_path: Path) -> None:
    two = attributes("3/8").replace("</time>", "<beats>2</beats><beat-type>4</beat-type></time>")
    tune = read_text(tmp_path, score([two + note("C5", 14)]))
    assert tune.field("M") == "3+4/8"
    assert texts(tune) == [["c7"]]


def test_a_composite_metre_in_mid_piece(tmp_path: Path) -> None:
    time = "<time><beats>3+2</beats><beat-type>8</beat-type></time>"
    change = f"<attributes>{time}</attributes>"
    tune = read_text(tmp_path, score([attributes("2/4") + note("C5", 8), change + note("D5", 10)]))
    assert texts(tune) == [["c4"], ["[M:3+2/8] d5"]]


@pytest.mark.parametrize(
    "harmony",
    [
        "<function>D.I</function><kind text=''>none</kind>",
        "<function>V65/V</function><kind>dominant</kind>",
        "<numeral><numeral-root>5</numeral-root></numeral><kind>major</kind>",
    ],
)
def test_roman_numerals_are_left_out(tmp_path: Path, harmony: str) -> None:
    music = f"<harmony>{harmony}</harmony>" + note("D5", 16)
    assert texts(read_text(tmp_path, score([attributes() + music]))) == [["d8"]]


def test_chord_symbols_stay(tmp_path: Path) -> None:
    symbol = "<harmony><root><root-step>G</root-step></root><kind>dominant</kind></harmony>"
    tune = read_text(tmp_path, score([attributes() + symbol + note("D5", 16)]))
    assert texts(tune) == [['"G7" d8']]


@pytest.mark.parametrize(
    ("fifths", "field", "bar"),
    [(-9, "C", "c4 d4"), (-11, "C", "c4 d4"), (8, "G#", "=c4 =d4"), (-7, "Cb", "=c4 =d4")],
)
def test_keys_that_no_field_can_name(tmp_path: Path, fifths: int, field: str, bar: str) -> None:
    music = note("C5", 8) + note("D5", 8)
    tune = read_text(tmp_path, score([attributes(fifths=fifths) + music]))
    assert tune.field("K") == field
    assert texts(tune) == [[bar]]
