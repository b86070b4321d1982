from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.notation import Bar, NotationError, Tune
from tests.helpers.random_scores import examples, tunes


def music(text, voice="1"):
    """(left, text, right) of one voice's bars."""
    bars = [voices[voice] for voices in Tune.parse(text).bars if voice in voices]
    return [(bar.left, bar.text, bar.right) for bar in bars]


@examples
@given(tunes())
def test_standard_text_is_read_as_printed(tune):
    assert Tune.parse(tune.to_standard()) == tune


@examples
@given(tunes(complete=False), st.booleans())
def test_interleaved_text_is_read_as_printed(tune, stream_marks):
    assert Tune.parse(tune.to_interleaved(stream_marks=stream_marks)) == tune


def test_stream_marks_count_the_bars_behind_and_ahead():
    tune = Tune.parse("K:C\nC|D|E|")
    assert tune.to_interleaved(stream_marks=True) == (
        "K:C\n[r:0/2][V:1]C|\n[r:1/1][V:1]D|\n[r:2/0][V:1]E|\n"
    )


def test_conditioning_lines_are_header_lines():
    text = "%Romantic\n%Chopin, Frederic\n%Keyboard\n%end\n%%score 1\nK:C\n[r:0/0][V:1]C4|]\n"
    assert Tune.parse(text).header[:4] == (
        *("%Romantic", "%Chopin, Frederic", "%Keyboard"),
        "%end",
    )


def test_a_tune_without_voices_has_one():
    tune = Tune.parse("X:1\nT:A tune\nM:3/4\nL:1/4\nK:Em\n|:CDE|\nFGA:|\n")
    assert tune.voices == ("1",)
    assert tune.bars == ({"1": Bar("CDE", "|", "|:")}, {"1": Bar("FGA", ":|")})
    assert (tune.key, tune.metre, tune.unit_length) == ("G", Fraction(3, 4), Fraction(1, 4))


def test_voices_go_by_any_name_in_the_order_of_the_header():
    text = 'K:C\nV:S treble nm="Soprano"\nV:B bass\nV:B\nC|D|\nV:S\nc|d|\n'
    tune = Tune.parse(text)
    assert tune.voices == ("S", "B")
    assert [list(voices) for voices in tune.bars] == [["S", "B"]] * 2
    assert music(text, "S") == [("", "c", "|"), ("", "d", "|")]


def test_a_voice_may_be_declared_where_its_music_starts():
    tune = Tune.parse("K:C\nV:1 treble\nC|\nV:2 bass\nC,|\n")
    assert tune.header == ("K:C", "V:1 treble", "V:2 bass")
    assert tune.bars == ({"1": Bar("C"), "2": Bar("C,")},)


def test_voices_may_be_marked_at_the_start_of_lines_of_several_bars():
    text = "K:C\n[V:1]C|D|\n[V:2]E|F|\n[V:1]G|A|\n[V:2]B|c|\n"
    assert [bar[1] for bar in music(text, "2")] == ["E", "F", "B", "c"]


@pytest.mark.parametrize(
    "barline",
    [
        "||:",
        ":||:",
        "[|",
        "[|]",
        ".|",
        "|]:",
        "|]",
        ":|",
        "|:",
        "::",
        ":::",
        ":|:",
        "|||",
        ":|]",
        ":]",
    ],
)
def test_unusual_barlines(barline):
    assert music(f"K:C\nC4 {barline} D4 |]") == [("", "C4", barline), ("", "D4", "|]")]
    assert music(f"K:C\n[V:1]C4{barline}\n[V:1]D4|]") == [("", "C4", barline), ("", "D4", "|]")]


@pytest.mark.parametrize(
    ("written", "kept"),
    [("|1", "|1"), (":|2", ":|2"), ("|[1", "|1"), (":| [2", ":|2"), ("|1,3", "|1,3")],
)
def test_endings_belong_to_the_barline(written, kept):
    assert music(f"K:C\nC4 {written} D4 |")[0] == ("", "C4", kept)


@pytest.mark.parametrize(
    "text", ['"a|b" C4', '"^:|" C', "!|x|! D", "C [r:a|b] D", '[C"|"E]2', '"|:"C "_||"D']
)
def test_not_every_stroke_is_a_barline(text):
    assert music(f"K:C\n{text} | E4 |") == [("", text, "|"), ("", "E4", "|")]
    assert music(f"K:C\n[V:1]{text}|\n") == [("", text, "|")]


@pytest.mark.parametrize("layout", ["K:C\nC4|D4", "K:C\n[V:1]C4|\n[V:1]D4"])
def test_a_last_bar_without_barline_is_kept(layout):
    assert music(layout) == [("", "C4", "|"), ("", "D4", "")]


def test_bars_may_run_over_lines():
    assert music("K:C\nC2 \\\nD2 | E2\n F2 |\n|: G4 :|") == [
        *[("", "C2 D2", "|"), ("", "E2 F2", "||:"), ("", "G4", ":|")]
    ]


def test_what_stands_around_the_music_stays_with_it():
    assert music('K:C\n[K:Eb] "^Solo" |: C4 | D4 |] "^Fine"') == [
        *[("|:", '[K:Eb] "^Solo" C4', "|"), ("", 'D4 "^Fine"', "|]")]
    ]


def test_fields_and_comments_in_the_body():
    text = 'K:C\nV:1\nK:G\nC4 | % 1\nM:3/4\n% a comment\nw: la\nD3 "50%" |\n'
    assert music(text) == [("", "[K:G] C4", "|"), ("", '[M:3/4] D3 "50%"', "|")]
    assert Tune.parse(text).header == ("K:C",)


def test_rests_of_several_bars_are_so_many_bars():
    text = "K:C\nV:1\nC|D|E:|\nV:2\nZ2|c:|\n"
    assert music(text, "2") == [("", "Z", "|"), ("", "Z", "|"), ("", "c", ":|")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no music"),
        ("K:C\nV:1\n", "no music"),
        ("K:C\nV:1\nV:2\n[V:1]C|D|[V:2]E|\n", "line 4: voice 1 holds more than one bar"),
        ("K:C\n[V:1]C|[V:2]C|\n[V:1]|:D|[V:2]D|", "line 3: voice 1 holds more than one bar"),
        ("K:C\n[V:1]C|[V:1]E|\n", "line 2: voice 1 stands twice"),
        ("K:C\nV:1\n[V:1]C|\n[V:2]C|\n", "line 4: no V:2 line declares voice 2"),
        ("K:C\n[V:1]C|[V:2]D|\nE|\n", "line 3: expected a bar to start with"),
        ("X:1\nK:C\nCDE|\nX:2\nK:C\nC|", "line 4: a second tune"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(NotationError, match=message):
        Tune.parse(text)


@pytest.mark.parametrize(
    ("header", "metre", "unit"),
    [
        ("M:C", Fraction(1), Fraction(1, 8)),
        ("M:C|", Fraction(1), Fraction(1, 8)),
        ("M:2/4", Fraction(1, 2), Fraction(1, 16)),
        ("M:(2+3)/8", Fraction(5, 8), Fraction(1, 16)),
        ("M:none", None, Fraction(1, 8)),
        ("M:6/8\nL:1/4", Fraction(3, 4), Fraction(1, 4)),
    ],
)
def test_metre_and_unit_length(header, metre, unit):
    tune = Tune.parse(f"{header}\nK:C\nC|")
    assert (tune.metre, tune.unit_length) == (metre, unit)


def test_fields_of_no_meaning():
    with pytest.raises(NotationError, match="not a metre"):
        _ = Tune.parse("M:3/0\nK:C\nC|").metre
    with pytest.raises(NotationError, match="not a note length"):
        _ = Tune.parse("L:x\nK:C\nC|").unit_length
    with pytest.raises(NotationError, match="no K: line"):
        _ = Tune.parse("L:1/8\nK:treble\nC|").key


@pytest.mark.parametrize(
    ("second", "facts"),
    [
        ("c4|d4|]", (True, True, True)),
        ("c4|d4||", (False, True, True)),
        ("c4|d3|]", (True, True, False)),
        ("c4|d4 $|]", (True, True, False)),
        ("c4|Z|]", (True, True, True)),
        ("c4|", (True, False, True)),
    ],
)
def test_alignment(second, facts):
    tune = Tune.parse(f"L:1/8\nM:4/8\nK:C\nV:1\nC4|D4|]\nV:2\n{second}\n")
    assert tune.alignment() == facts
    assert tune.alignment().ok is all(facts)


def test_a_duration_that_cannot_be_told_is_not_aligned():
    assert not Tune.parse("K:C\nC $ D|").alignment().durations


def test_aligned_bars():
    tune = Tune.parse("K:C\nV:1\nC4|D4|E4||F4|]\nV:2\nc4|d3|e4|f4|]\n")
    assert tune.aligned_bars() == [True, False, False, True]
