import numpy as np
import pytest

from notagen.generation.piece import PartialPiece
from notagen.patches import EOS, encode_prompt

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\nV:2 bass\n"
END = chr(EOS)


def add(draft: PartialPiece, *texts: str) -> None:
    for text in texts:
        draft.append(text)
        draft.close_line()


def forced(draft: PartialPiece) -> str:
    """What the next patch must begin with."""
    written = ""
    while (allowed := draft.allowed(written)) is not None and len(allowed) == 1:
        written += allowed
    return written


def test_the_header_goes_on_and_the_first_mark_counts_from_zero():
    draft = PartialPiece(HEADER)
    assert draft.allowed("") == "V["
    assert set(draft.allowed("V:2")) == set("0123456789"), "there is a V:2"
    assert set(draft.allowed("V:64")) == set("\n ")
    assert PartialPiece(HEADER, readable=False).allowed("") is None
    assert draft.allowed("V:3\n") == END, "a line end ends the patch"
    assert draft.allowed("[") == "r"
    assert draft.allowed("[r:0/") == "123456789"
    assert "]" in draft.allowed("[r:0/1")
    assert draft.allowed("[r:0/123") == "]"


def test_later_marks_count_down_and_the_last_line_ends_the_piece():
    draft = PartialPiece(HEADER)
    add(draft, "[r:0/2][V:1]C8|\n")
    assert forced(draft) == "[r:1/1][V:"
    add(draft, "[r:1/1][V:1]D4 E")
    assert draft.allowed("") is None, "inside a bar nothing is forced"
    add(draft, "4|\n")
    assert forced(draft) == "[r:2/0][V:"
    assert not draft.marks.complete
    add(draft, "[r:2/0][V:1]C8|]", "\n")
    assert draft.marks.complete
    assert draft.text.endswith("[r:2/0][V:1]C8|]\n")


def test_voices_come_in_their_order_with_the_barline_of_the_first():
    draft = PartialPiece(HEADER.replace("V:2", "V:12") + "V:13 bass\n")
    add(draft, "[r:0/2][V:1]C8", "||[V:")
    assert draft.allowed("") == "1"
    assert set(draft.allowed("1")) == {"2", "3"}
    add(draft, "12]C8")
    assert draft.allowed("") == "|"
    assert draft.allowed("|") == "|"
    assert draft.allowed("||") == "[\n"
    add(draft, "||[V:13]C8")
    assert forced(draft) == "||\n" + END
    free = PartialPiece(HEADER, readable=False)
    add(free, "[r:0/2]")
    assert free.allowed("") is None


def test_a_solo_line_ends_behind_its_barline():
    draft = PartialPiece(HEADER.replace("V:2 bass\n", ""))
    add(draft, "[r:0/2][V:1]C8")
    assert draft.allowed("") == "|:"
    assert set(draft.allowed("|")) == set("\n|:]12345")
    assert draft.allowed("|1") == "\n"
    assert draft.allowed(":|2") == "\n"
    assert draft.allowed(":") is None, "no barline yet"
    within = PartialPiece(HEADER.replace("V:2 bass\n", ""))
    assert within.allowed("[r:0/2][V:1]C8") is None
    assert "\n" in within.allowed("[r:0/2][V:1]C8|")


@pytest.mark.parametrize(
    ("bars", "beginning"),
    [("[r:0/3][V:1]C8|\n", "[r:1/2][V:"), ("[r:0/3][V:1]C2 ", "[r:0/3][V:1]C2 ")],
)
def test_a_prompt_with_bars_is_continued(bars, beginning):
    assert forced(PartialPiece(HEADER + bars)) == beginning


def test_a_line_is_taken_back_by_patches_and_the_prompt_stays():
    draft = PartialPiece(HEADER + "[r:0/3][V:1]C2 D2 E2 F2 ")
    given = len(draft)
    add(draft, "E2 F2 G2", "|[V:2]C8")
    draft.rewind(draft.line.index("[V:2]"))
    assert draft.line.endswith("G2")
    draft.rewind(0)
    assert len(draft) == given
    assert forced(draft) == "2 E2 F2 "


def test_a_replaced_line_is_cut_into_patches_as_any_other():
    draft = PartialPiece(HEADER)
    add(draft, "[r:0/3][V:1]C8|\n", "[r:1/2][V:1]C8", "|[V:2]D7|\n")
    text = HEADER + "[r:0/3][V:1]C8|\n"
    draft = PartialPiece(text)
    draft.append("[r:1/2][V:1]C7|\n")
    draft.replace_line("[r:1/2][V:1]C8|[V:2]D8|\n")
    expected = encode_prompt(text + "[r:1/2][V:1]C8|[V:2]D8|\n")[0]
    assert np.array_equal(draft.patches, expected)
