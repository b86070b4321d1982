"""ABC as people and programs write it: each kind of text that was once read as something else."""

import random
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from notagen.notation import Tune, tokens
from notagen.scores import ScoreError, read, read_each, to_midi, to_musicxml
from notagen.scores.abc_source import plain, split_tunes
from notagen.scores.source_notes import counts

HEADER = "X:1\nT:x\nM:2/4\nL:1/4\nK:C\n"


def read_text(folder: Path, text: str) -> Tune:
    (folder / "tune.abc").write_text(text)
    (tune,) = read(folder / "tune.abc")
    return tune


def music(tune: Tune, voice: str = "1") -> list[str]:
    """Bars without blanks."""
    return [bars[voice].text.replace(" ", "") for bars in tune.bars]


def lengths(tune: Tune) -> list[Fraction]:
    """Of the notes of the first bar, in quarters."""
    return [one.duration / 2 for one in tokens(tune.bars[0]["1"].text) if one.kind == "note"]


@pytest.mark.parametrize(
    ("body", "third"),
    [
        ("|:CD|EF:|\nK:G\n|:GA|FG:|", "[K:G]G2A2"),
        ("|:CD|EF:|\nP:B\n|:GA|FG:|", "G2A2"),
        ("|:CD|EF:|\nL:1/8\n|:G2A2|F2G2:|", "G2A2"),
        ("|:CD|EF:|\nQ:1/4=60\n|:GA|FG:|", "[Q:1/4=60]G2A2"),
        ("|:CD|EF:|!fermata!|:GA|FG:|", "!fermata!G2A2"),
        ("|:CD|EF:|$\n|:GA|FG:|", "G2A2"),
        ("|:CD|EF:| !\n|:GA|FG:|", "G2A2"),
        ("|:CD|EF:| \\\n|:GA|FG:|", "G2A2"),
        ('|:CD|EF:|"^Fine"|:GA|FG:|', '"^Fine"G2A2'),
        ("|:CD|EF:|[P:B][K:G]!segno!|:GA|FG:|", "[K:G]!segno!G2A2"),
        ("|:CD|EF:|T|:GA|FG:|", "TG2A2"),
    ],
)
def test_no_bar_without_a_note_or_rest(tmp_path, body, third):
    tune = read_text(tmp_path, f"{HEADER}{body}\n")
    assert music(tune) == ["C2D2", "E2F2", third, "F2G2"]
    assert [bars["1"].right for bars in tune.bars] == ["|", "::", "|", ":|"]


def test_a_change_of_metre_between_two_barlines(tmp_path):
    tune = read_text(tmp_path, f"{HEADER}|:CD|EF:|\nM:3/4\n|:GAB|FGA:|\n")
    assert music(tune) == ["C2D2", "E2F2", "[M:3/4]G2A2B2", "F2G2A2"]


def test_two_voices_stay_together_where_one_has_a_field_between_barlines(tmp_path):
    tune = read_text(tmp_path, f"{HEADER}V:1\nCD||\n[K:G]||GA|]\nV:2\nC2||G2|]\n")
    assert music(tune, "1") == ["C2D2", "[K:G]G2A2"]
    assert music(tune, "2") == ["C4", "G4"]
    assert tune.bars[0]["1"].right == "||"


@pytest.mark.parametrize("between", ["y", "x", '"Am"', "z"])
def test_spacers_rests_and_chord_symbols_are_bars(tmp_path, between):
    assert len(read_text(tmp_path, f"{HEADER}CD|{between}|EF|]\n").bars) == 3


def test_rests_of_several_bars_behind_a_field(tmp_path):
    tune = read_text(tmp_path, f"{HEADER}CD|[K:G]Z2|!fermata!Z2|]\n")
    assert music(tune) == ["C2D2", "[K:G]z4", "z4", "!fermata!z4", "z4"]


@pytest.mark.parametrize(
    ("body", "bars"),
    [
        ("CD|EF|\nw:one two\n+:bad face\nG2|]\n", ["C2D2", "E2F2", "G4"]),
        ("CD|\n+:bad face\nEF|]\n", ["C2D2", "E2F2"]),
        (
            "CD|EF|\n%%begintext\nA bad egg\n\nX:3 cabbage\n%%endtext\nG2|]\n",
            ["C2D2", "E2F2", "G4"],
        ),
        ("%%beginps\n/a { c d e } def\n%%endps\nCD|]\n", ["C2D2"]),
        ("B:a bag of cabbage, face 104\nG:bad deed\nDF|\nC:Dee Gee\nD2|]\n", ["D2F2", "D4"]),
        ("d:!trill! * *\nD2|\ng:bad age\nA:|:CD:|\n", ["D4", "A2", "C2D2"]),
        ("+fermata+C+trill+D|+ppp+G +accent+A|]\n", ["!fermata!C2TD2", "!ppp!G2!>!A2"]),
        ("+CEG+2|+^c'a,+2|]\n", ["[CEG]4", "[^c'A]4"]),
        ("CD!E|FGA!\nBC|D!\n", ["C2D2E2", "F2G2A2B2C2", "D2"]),
        ("I:decoration +\nCD!EF!|+p+G +a+A|]\n", ["C2D2E2F2", "!p!G2A2"]),
        ("U:n=!fermata!\nnC[U:n=+trill+]nD|]\n", ["!fermata!C2TD2"]),
        ("U:T=!nil!\nTCTD|]\n", ["C2D2"]),
    ],
)
def test_text_is_no_music(tmp_path, body, bars):
    assert music(read_text(tmp_path, HEADER + body)) == bars


@pytest.mark.parametrize(
    "text",
    [
        "H:Learnt from a fiddler in the\n+:bad cage of dead beef\n",
        "H:Learnt from a fiddler,\nthe bad cage | of dead beef\n",
        "%%begintext\nA good dance, each beat had a big face\nc d e f g\n%%endtext\n",
        "bars 1 and 2 are |f2ed| in the book\n",
    ],
)
def test_text_in_the_header_ends_no_header(tmp_path, text):
    tune = read_text(tmp_path, f"X:1\nT:x\n{text}M:3/4\nL:1/4\nK:G\nGAB|]\n")
    assert tune.metre == Fraction(3, 4)
    assert tune.key == "G"
    assert music(tune) == ["G2A2B2"]


@pytest.mark.parametrize(
    ("metre", "body", "expected"),
    [
        ("3/4", "(10:8:10CDEFGABcde", [Fraction(1, 5)] * 10),
        ("3/4", "(12:8:3CDE F", [Fraction(1, 6)] * 3 + [Fraction(1, 4)]),
        ("3/4", "(11CDEFGABcdef", [Fraction(2, 11)] * 11),
        ("6/8", "(5GABcd e", [Fraction(3, 20)] * 5 + [Fraction(1, 4)]),
        ("12/8", "(7::7GABcdef", [Fraction(3, 28)] * 7),
        ("9/8", "(9:GABcdefga", [Fraction(1, 12)] * 9),
        ("2/4", "(5GABcd", [Fraction(1, 10)] * 5),
        ("2/4", "[M:6/8](5GABcd", [Fraction(3, 20)] * 5),
        ("6/8", "(5:4:5GABcd", [Fraction(1, 5)] * 5),
    ],
)
def test_tuplets(tmp_path, metre, body, expected):
    tune = read_text(tmp_path, f"X:1\nL:1/16\nM:{metre}\nK:C\n{body}|]\n")
    assert lengths(tune) == expected


def test_tuplets_in_the_metre_of_their_voice(tmp_path):
    text = "X:1\nL:1/8\nM:2/4\nK:C\nV:1\nM:6/8\n(5CDEFG|\nV:2\n(5CDEFG|\nV:1\n(5CDEFG|\n"
    tune = read_text(tmp_path, text)
    assert [text.count("5:3:5") for text in music(tune, "1")] == [1, 1]
    assert "5:2:5" in music(tune, "2")[0]


@pytest.mark.parametrize(
    ("fields", "body", "bars"),
    [
        ("K:Dm^c", "A>dcd|c2c2|]", ["A>d^cd", "^c2c2"]),
        ("K:C^f^c^a", "cfag|]", ["^c^f^ag"]),
        ("K:D exp ^f _b", "cfbg|]", ["c^f_bg"]),
        ("K:D\nK:Ador", "c2f2|]", ["c2f2"]),
        ("K:D\nM:4/4\nK:F\nK:bass\nM:2/4", "B4|]", ["B4"]),
    ],
)
def test_keys(tmp_path, fields, body, bars):
    tune = read_text(tmp_path, f"X:1\nM:2/4\nL:1/8\n{fields}\n{body}\n")
    assert music(tune) == bars
    assert tune.metre == Fraction(1, 2)


def test_the_last_key_before_the_music_counts(tmp_path):
    assert read_text(tmp_path, "X:1\nL:1/8\nM:2/4\nK:D\nK:Ador\nc4|]\n").key == "G"
    two = read_text(tmp_path, "X:1\nL:1/8\nM:2/4\nK:D\nV:1\nK:C\nF4|]\nV:2\nF4|]\n")
    assert music(two, "1") == ["F4"]
    assert music(two, "2") == ["[K:D]F4"]


@pytest.mark.parametrize(
    ("header", "body", "bars"),
    [
        ("K:C\nV:1 clef=bass octave=-2", "cd|]", ["C,2D,2"]),
        ("K:C octave=1", "CD|]", ["c2d2"]),
        ("K:C clef=treble-8 octave=-1\nV:1", "cd|]", ["C2D2"]),
        ("K:C octave=1\nV:1 octave=-1", "cd|]", ["C2D2"]),
        ("K:C", "c[K:C octave=-1]d|]", ["c2[K:C]D2"]),
        ("K:C", "[K:G octave=-1]^f|[K:bass]f|]", ["^F2", "[K:bass]F2"]),
    ],
)
def test_octaves(tmp_path, header, body, bars):
    assert music(read_text(tmp_path, f"X:1\nM:2/4\nL:1/4\n{header}\n{body}\n")) == bars


def test_octaves_of_a_tune_in_our_dialect(tmp_path):
    text = "%%score 1\nL:1/8\nM:2/4\nK:C\nV:1 treble octave=-1\n[V:1]c2d2|\n"
    tune = read_text(tmp_path, text)
    assert music(tune) == ["C2D2"]
    assert tune.header[-1] == "V:1 treble "


@pytest.mark.parametrize("sign", ["!", "+", "^", "_", "[A:", "!|", "(", '"', "%%begintext\n", "Z"])
def test_long_lines_of_one_sign_are_read_in_linear_time(tmp_path, sign):
    (tmp_path / "tune.abc").write_text(f"{HEADER}{sign * 3_000}|\n{sign * 2_000}|\n")
    assert len([*read_each(tmp_path / "tune.abc")]) == 1
    assert counts(tmp_path / "tune.abc") is not None


def test_octaves_of_one_voice_of_two(tmp_path):
    text = f"{HEADER}V:1 clef=treble\nV:2 clef=bass octave=-2\n[V:1]cd|cd|]\n[V:2]^cd|cd|]\n"
    tune = read_text(tmp_path, text)
    assert music(tune, "1") == ["c2d2", "c2d2"]
    assert music(tune, "2") == ["^C,2D,2", "C,2D,2"]


@pytest.mark.parametrize(
    ("fields", "pitches"),
    [
        ("K:D transpose=-2", [71, 72, 74]),
        ("K:D\nV:1 transpose=-2", [71, 72, 74]),
        ("K:D clef=bass transpose=-12", [61, 62, 64]),
        ("K:D transpose=-2\nV:1 transpose=3", [76, 77, 79]),
    ],
)
def test_transposing_keys_sound_as_transposing_voices(tmp_path, fields, pitches):
    tune = read_text(tmp_path, f"X:1\nM:3/4\nL:1/4\n{fields}\ncde|]\n")
    content = to_midi(tune)
    sounding = [after for on, after in pairwise(content) if on == 0x90]
    assert sounding[:3] == pitches


@pytest.mark.parametrize("note", ["_/E", "^/F", "^3/2C", "_1/4B"])
def test_quarter_tones_are_refused(tmp_path, note):
    with pytest.raises(ScoreError, match=r"tune 1: .* is a quarter tone, for which"):
        read_text(tmp_path, f"{HEADER}C {note}|]\n")
    assert music(read_text(tmp_path, f'{HEADER}"{note}"C D|]\n'))


@pytest.mark.parametrize(
    ("metre", "body", "name", "bars"),
    [
        ("2+3/8", "CDEFG|[M:(3+2)/8]GFEDC|", "2+3/8", ["CDEFG", "[M:3+2/8]GFEDC"]),
        ("(3+3+2)/8", "CDE FGA Bc|", "3+3+2/8", ["CDEFGABc"]),
        ("C", "C8|[M:2+2+3/16]CDE/F/G/|", "4/4", ["C8", "[M:2+2+3/16]CDE/F/G/"]),
    ],
)
def test_composite_metres(tmp_path, metre, body, name, bars):
    tune = read_text(tmp_path, f"X:1\nM:{metre}\nL:1/8\nK:C\n{body}\n")
    assert tune.field("M") == name
    assert music(tune) == bars
    assert tune.metre is not None
    (tmp_path / "again.musicxml").write_text(to_musicxml(tune))
    assert music(read(tmp_path / "again.musicxml")[0]) == bars


@pytest.mark.parametrize("body", ["z9|c9|CDE", "CDE|z10|c4", "x9|[ce]5 z13"])
def test_long_rests_without_metre_are_written(tmp_path, body):
    tune = read_text(tmp_path, f"X:1\nM:none\nL:1/8\nK:C\n{body}|]\n")
    (tmp_path / "tune.musicxml").write_text(to_musicxml(tune))
    assert to_midi(tune)
    again = read(tmp_path / "tune.musicxml")[0]
    assert [sum(one.duration for one in tokens(bar)) for bar in music(again)] == [
        sum(one.duration for one in tokens(bar)) for bar in music(tune)
    ]


def test_titles_and_composers_survive(tmp_path):
    text = "X:1\nT:Ca\\~non &amp; Fugue\nC:Dvo\\vr\\'ak\nL:1/8\nM:4/4\nK:C\nc8|]\n"
    tune = read_text(tmp_path, text)
    assert tune.header[:2] == ("T:Cañon & Fugue", "C:Dvořák")
    (tmp_path / "tune.musicxml").write_text(to_musicxml(tune))
    assert read(tmp_path / "tune.musicxml")[0].header[:2] == tune.header[:2]
    assert "<work-title>Cañon &amp; Fugue</work-title>" in to_musicxml(tune)


def test_plain_text_stays():
    text = '%%score ( 1 2 )\nL:1/8\nM:6/8\nK:C\nV:1 treble\n[V:1](5:4:5cdefg !f!"^a|b"T[ce]3|\n'
    assert plain(text) == text


TUNES = (
    "|:CDEF|G2A2|{g}f>edc|(3ABc d2:|",
    "[CEG]2 z2|^F2-F2|G4|A4|]",
    "!p!C2 D2|(EF) GA|.B2 c2|d4||e4|]",
)
BETWEEN = (
    "\n", " \\\n", "$\n", " !\n", "% a bad|egg\n", "\n%%text a|b\n", "\nN:a bag | of c\n",
    "\nB:bad|egg\n", "\nF:cabbage\n", "\nP:B\n", "\nw:a-b c|d\n+:face|bed\n", "[r:a|b]", "[P:A]",
    "\nQ:1/4=90\n", "[Q:1/4=72]", "\nM:4/4\n", "[M:4/4]", "\nL:1/8\n", "[L:1/8]", "\nK:C\n",
    "[K:C]", "!fermata!|", "+trill+", "[|", "|[P:B]|", "|$\n|", "|!coda!|", "|\n%%text a\n|",
    "\n%%begintext\nA face\n\nB:ace|bag\n%%endtext\n", '"^dolce"', '|"_Fine"|', "\nr:remark\n",
    "\nU:n=!fermata!\n", "\nI:linebreak $\n", "\n%\n", "| |", "\nC:Dee Gee\n", "\ns:!f!|\n",
)  # fmt: skip


def heads(tune: Tune) -> list[list[tuple[str, int, Fraction]]]:
    """Letters, octaves and durations of each bar."""
    return [
        [
            (one.accidental + one.letter, one.octave, token.duration)
            for token in tokens(bars["1"].text)
            for one in (token.inner or (token,))
            if one.kind in ("note", "rest")
        ]
        for bars in tune.bars
    ]


def check_mutations(folder: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    header = "X:1\nM:4/4\nL:1/8\nK:C\n"
    expected = {text: heads(read_text(folder, f"{header}{text}\n")) for text in TUNES}
    for _ in range(count):
        text = draw.choice(TUNES)
        bars = text.split("|")
        for place in draw.sample(range(1, len(bars) - 1), draw.randint(1, 3)):
            if bars[place][:1] not in ("", ":"):
                bars[place] = draw.choice(BETWEEN) + bars[place]
        changed = "|".join(bars)
        assert heads(read_text(folder, f"{header}{changed}\n")) == expected[text], changed


def test_what_stands_between_bars_changes_no_note(tmp_path):
    check_mutations(tmp_path, 50, seed=0)


@pytest.mark.slow
def test_much_that_stands_between_bars_changes_no_note(tmp_path):
    check_mutations(tmp_path, 500, seed=1)


def test_blocks_without_an_end_end_at_the_next_tune():
    text = "X:1\nK:C\nC|\n%%begintext\nAce\n\nX:2\nK:C\nD|\n"
    assert [tune.split("\n")[2] for tune in split_tunes(text)] == ["C|", "D|"]
