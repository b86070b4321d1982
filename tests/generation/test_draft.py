import numpy as np
import pytest

from notagen.generation.draft import Draft, Ending
from notagen.patches import EOS, PAD, PATCH_SIZE

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\n"


def patch(text: str) -> np.ndarray:
    ids = [ord(character) for character in text]
    if len(ids) < PATCH_SIZE:
        ids += [EOS] + [PAD] * (PATCH_SIZE - len(ids) - 1)
    return np.array(ids, dtype=np.uint8)


def forced(draft: Draft) -> str:
    """What the next patch must begin with."""
    written = ""
    while (allowed := draft.allowed(written)) is not None and len(allowed) == 1:
        written += allowed
    return written


def test_the_header_is_free_and_the_first_mark_counts_from_zero():
    draft = Draft(HEADER, 100)
    assert draft.allowed("") is None
    assert draft.allowed("V") is None
    assert draft.allowed("[") == "r"
    assert draft.allowed("[r:0/") == "123456789"
    assert "]" in draft.allowed("[r:0/1")
    assert draft.allowed("[r:0/12]") is None


def test_later_marks_count_down_and_the_last_line_ends_the_piece():
    draft = Draft(HEADER, 100)
    draft.add(patch("[r:0/2][V:1]C8|\n"))
    assert forced(draft) == "[r:1/1]"
    draft.add(patch("[r:1/1][V:1]D4 E"))
    assert draft.allowed("") is None, "inside a line nothing is forced"
    draft.add(patch("4|\n"))
    assert forced(draft) == "[r:2/0]"
    assert draft.ending is None
    draft.add(patch("[r:2/0][V:1]C8|]"))
    draft.add(patch("\n"))
    assert draft.ending is Ending.COMPLETE
    assert draft.text.endswith("[r:2/0][V:1]C8|]\n")


@pytest.mark.parametrize(
    ("bars", "beginning"),
    [("[r:0/3][V:1]C8|\n", "[r:1/2]"), ("[r:0/3][V:1]C2 ", "[r:0/3][V:1]C2 ")],
)
def test_a_prompt_with_bars_is_continued(bars, beginning):
    assert forced(Draft(HEADER + bars, 100)) == beginning


def test_a_piece_without_end_is_stopped():
    draft = Draft(HEADER, 8)
    while draft.ending is None:
        draft.add(patch("V:9 treble x\n"))
    assert draft.ending is Ending.TOO_LONG
    assert len(draft.patches) == 8


def test_a_full_context_keeps_the_header_and_the_last_half_of_the_lines():
    draft = Draft(HEADER, 1000)
    draft.add(patch("[r:0/9][V:1]C8|\n"))
    for line in range(1, 10):
        draft.add(patch(f"[r:{line}/{9 - line}][V:1]C8|"))
        draft.add(patch("\n"))
    everything = np.array(draft.patches)
    assert np.array_equal(draft.context(len(everything) + 1), everything)
    header = 5
    kept = draft.context(len(everything))
    assert np.array_equal(kept[:header], everything[:header])
    assert bytes(kept[header][:7]) == b"[r:5/4]"
    assert np.array_equal(kept[header:], everything[-(len(kept) - header) :])
