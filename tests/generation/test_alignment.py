import pytest

from notagen.generation.alignment import first_deviation, repaired
from notagen.notation import Tune

VOICES = ("1", "2", "3")


@pytest.mark.parametrize(
    "line",
    [
        "[r:3/4][V:1]C8|[V:2](3CDE F2 G4|[V:3]A>B A2 z4|\n",
        "[r:3/4][V:2]C8|]\n",
        "[r:3/4][V:1]C8|[V:3]E8|\n",
        "[r:3/4][V:1]Z|[V:2]C8|[V:3]C8|\n",
        "[r:0/4][V:1]|:[K:F] C2:|2[V:2]|:E2:|2\n",
    ],
)
def test_voices_that_agree(line):
    assert first_deviation(line, VOICES) is None
    assert repaired(line, VOICES) in (line, line.replace("[V:1]Z|", ""))


@pytest.mark.parametrize(
    ("line", "voice"),
    [
        ("[r:3/4][V:1]C8|[V:2]C7|[V:3]C8|\n", "[V:2]"),
        ("[r:3/4][V:1]C8|[V:2]C8||\n", "[V:2]"),
        ("[r:3/4][V:1]C8|[V:3]C8|[V:2]C8|\n", "[V:2]"),
        ("[r:3/4][V:1]C8|[V:1]C8|\n", "[V:1]C8|\n"),
        ("[r:3/4][V:1]C8|[V:4]C8|\n", "[V:4]"),
        ("[r:3/4][V:1]C8|[V:2]C4|C4|\n", "[V:2]"),
        ("[r:3/4][V:1]C8|[V:2]\n", "[V:2]"),
        ("[r:3/4][V:1]!f!|\n", "[V:1]"),
        ("[r:3/4][V:1]C8%|\n", "[V:1]"),
        ("[r:3/4][V:1]C8|[r:3/4][V:2]C8|\n", "[V:1]"),
        ("[r:3/4][V:1]|:C8|\n", "[V:1]"),
        ("[r:3/4]C8|[V:2]C8|\n", "C8|[V:2]"),
        ("[r:3/4]\n", "\n"),
    ],
)
def test_the_first_voice_that_deviates_is_found(line, voice):
    assert first_deviation(line, VOICES) == line.index(voice)


@pytest.mark.parametrize(
    "beginning",
    ["[V:1]", "[V:1]C8", "[V:1]C8|", "[V:1]C8|[V", "[V:1]C8||[V:2]D8|", "[V:1]C8|1[V:2]D8|"],
)
def test_a_beginning_agrees_so_far(beginning):
    assert first_deviation(f"[r:3/4]{beginning}", VOICES) is None


@pytest.mark.parametrize(
    "beginning", ["[V:1]C8|[V:2]C4", "[V:1]C8|[V:2]C8||", "[V:1]C8|[V:2]C4|C4"]
)
def test_a_voice_is_judged_before_its_line_is_whole(beginning):
    assert first_deviation(f"[r:3/4]{beginning}", VOICES) == len("[r:3/4][V:1]C8|")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[V:1]C8|[V:2]C4 D6|[V:3]E8|", "[V:1]C8|[V:2]C4 z4|[V:3]E8|"),
        ("[V:1]C8|[V:2]C4 D2|[V:3]E8|", "[V:1]C8|[V:2]C4 D2 z2|[V:3]E8|"),
        ("[V:1]C9|[V:2]C8||[V:3]E8||", "[V:1]z8||[V:2]C8||[V:3]E8||"),
        ("[V:3]C8|[V:1]C8|[V:9]C8|[V:1]E8|", "[V:1]C8|[V:3]C8|"),
        ("[V:1]C4|[V:2](3CDE FGA|[V:3]A4|", "[V:1]C4|[V:2](3CDE FG|[V:3]A4|"),
        ("[V:1]C4|[V:2]C3 (3CDE|[V:3]A4|", "[V:1]C4|[V:2]C3 z|[V:3]A4|"),
        ("[V:1]C4|[V:2]C3 D->D|[V:3]A4|", "[V:1]C4|[V:2]C3 D|[V:3]A4|"),
        ("[V:1]C4|[V:2]%|[V:3]A4|", "[V:1]C4|[V:3]A4|"),
        ("[V:1]C4|[V:2].C2 .D2 .E2|[V:3]A4|", "[V:1]C4|[V:2].C2 .D2|[V:3]A4|"),
    ],
)
def test_repair_cuts_fills_and_leaves_out(line, expected):
    found = repaired(f"[r:3/4]{line}\n", VOICES)
    assert found == f"[r:3/4]{expected}\n"
    assert first_deviation(found, VOICES) is None


def test_nothing_readable_is_not_repaired():
    assert repaired("[r:3/4][V:7]C8|[V:2]???|\n", VOICES) is None


def test_what_is_said_of_a_line_is_what_notation_says_of_the_bar(rows):
    for row in rows:
        tune = Tune.parse(row["text"])
        text = tune.to_interleaved(omit_rests=True, stream_marks=True)
        lines = [line for line in text.splitlines(keepends=True) if line.startswith("[r:")]
        agree = [first_deviation(line, tune.voices) is None for line in lines]
        assert agree == Tune.parse(text).complete_rests().aligned_bars()
