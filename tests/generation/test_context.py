import numpy as np
import pytest

from notagen.generation.piece import context_start
from notagen.patches import encode_prompt

HEADER = "L:1/8\nM:4/4\nK:C\nV:1 treble\n"
PIECE = HEADER + "".join(f"[r:{line}/{9 - line}][V:1]C2 D2 E2 F2|\n" for line in range(10))


def test_a_full_context_keeps_the_header_and_the_last_half_of_the_lines():
    patches = encode_prompt(PIECE)[0]
    assert context_start(patches, len(patches) + 1) == (0, 0)
    header, start = context_start(patches, len(patches))
    assert header == 5
    assert bytes(patches[start][:7]) == b"[r:5/4]"


def test_what_does_not_fit_goes_line_by_line():
    patches = encode_prompt(PIECE)[0]
    header, start = context_start(patches, 12)
    assert bytes(patches[start][:7]) == b"[r:7/2]"
    assert header + len(patches) - start < 12


@pytest.mark.parametrize("text", [HEADER + "[r:0/1][V:1]" + "C2 " * 200, "V:1 x\n" * 100])
def test_a_line_or_header_longer_than_the_context_is_cut(text):
    patches = np.asarray(encode_prompt(text)[0])
    header, start = context_start(patches, 16)
    assert 0 < header + len(patches) - start < 16
    assert start >= header
