import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notagen.patches import (
    BOS,
    EOS,
    PAD,
    decode,
    encode,
    encode_prompt,
    line_starts,
    window,
    window_at,
    window_starts,
)

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> list[dict]:
    return json.loads((GOLDEN / name).read_text())


@pytest.mark.parametrize("case", golden("patches_train.json"), ids=lambda c: str(c["n_full"]))
def test_encode_gives_the_published_patches_and_windows(case):
    patches = encode(case["text"])
    assert patches.dtype == np.uint8
    assert patches.tolist() == case["full"]
    length = case["patch_length"]
    ours = {window_at(patches, length, start).tobytes() for start in window_starts(patches, length)}
    published = {np.array(w, dtype=np.uint8).tobytes() for w in case["windows"]}
    # The recording stopped at seven windows a piece; shorter lists are complete.
    assert published <= ours
    if len(published) < 7:
        assert published == ours
    drawn = {window(patches, length, np.random.default_rng(i)).tobytes() for i in range(600)}
    assert drawn == ours


def test_head_middle_and_tail_are_equally_likely():
    case = golden("patches_train.json")[2]
    patches = encode(case["text"])
    starts = window_starts(patches, 128)
    rng = np.random.default_rng(0)
    kinds = {window_at(patches, 128, int(starts[0])).tobytes(): "head"}
    kinds[window_at(patches, 128, int(starts[-1])).tobytes()] = "tail"
    drawn = [kinds.get(window(patches, 128, rng).tobytes(), "middle") for _ in range(3000)]
    for kind in ("head", "middle", "tail"):
        assert abs(drawn.count(kind) / 3000 - 1 / 3) < 0.04


@pytest.mark.parametrize("case", golden("patches_generate.json"))
def test_prompt_is_left_open_inside_its_last_bar(case):
    patches, unfinished = encode_prompt(case["text"])
    expected = case["ids"]
    if len(expected[-1]) == 16:
        assert len(unfinished) == 0
    else:
        assert unfinished.tolist() == expected.pop()
    assert patches.tolist() == expected


@pytest.mark.parametrize("case", golden("patches_dpo.json"))
def test_a_text_with_stream_marks_keeps_its_own(case):
    assert encode(case["text"]).tolist() == case["ids"]


@pytest.mark.parametrize("case", golden("patches_dpo.json"))
def test_decode_is_the_inverse_of_encode(case):
    assert decode(encode(case["text"])) == case["text"]


def test_reserved_ids_never_reach_the_text():
    patch = np.array([[65, PAD, BOS, 66, EOS, 67] + [BOS] * 10], dtype=np.uint8)
    assert decode(patch) == "AB"


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)))
def test_any_ascii_header_survives(lines):
    text = "".join(f"{line}\n" for line in lines)
    assert decode(encode_prompt(text)[0]) == text


signs = st.text(st.sampled_from("|:[]CDz12 "), max_size=40)


@given(st.lists(signs, min_size=1, max_size=4))
def test_a_bar_starts_at_each_barline_that_more_of_its_line_follows(music):
    """The published rule: cut where this expression matches, from left to right."""
    lines = [f"[r:{i}/{len(music) - 1 - i}][V:1]{bars}\n" for i, bars in enumerate(music)]
    barline = re.compile(r"(?>::|:\||\|:|\|\||\|\]|\[\||\|)(?!\n|$)")
    expected = [bar for line in lines for bar in _cut_before(barline, line)]
    header = ["L:1/8\n", "%%score { 1 | 2 }\n"]
    patches = encode("".join(header + lines))[1:-1]
    texts = iter(decode(patch) for patch in patches)
    for whole in header + expected:
        parts = [next(texts) for _ in range(0, len(whole), 16)]
        assert "".join(parts) == whole


def _cut_before(barline, line):
    starts = [0, *(match.start() for match in barline.finditer(line)), len(line)]
    return [line[a:b] for a, b in pairwise(starts)]


def test_a_piece_that_fits_is_taken_whole():
    patches = encode("L:1/8\nK:C\nV:1 treble\n[V:1]C4|\n[V:1]D4|]\n")
    assert window(patches, 64, np.random.default_rng(0)) is not None
    assert np.array_equal(window(patches, 64, np.random.default_rng(0)), patches)
    assert len(line_starts(patches)) == 2


def test_text_that_is_not_ascii_is_refused():
    with pytest.raises(ValueError, match="not ASCII"):
        encode("K:C\n[V:1]C4\N{MUSIC FLAT SIGN}|\n")
    with pytest.raises(ValueError, match="reserves"):
        encode("K:C\n[V:1]C4\x01|\n")
