"""Each rule, tripped and not."""

import pytest

from notagen.dpo.scoring import exclusion, scattered_instrument
from notagen.notation import Tune

HEADER = "L:1/8\nM:4/4\nK:C\n"
QUARTET = (
    'V:1 treble nm="Violin"\nV:2 treble nm="Violin"\nV:3 alto nm="Viola"\nV:4 bass nm="Cello"\n'
)
BAR = "[V:1]C8|[V:2]C8|[V:3]C8|[V:4]C8|\n"


def tune(body: str, voices: str = QUARTET) -> Tune:
    return Tune.parse(HEADER + voices + body)


def test_a_piece_that_breaks_no_rule_may_be_chosen():
    assert exclusion(tune(BAR), closest=0.9) == ""


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        ("[V:1]C8|[V:2]C6|[V:3]C8|[V:4]C8|\n", "durations"),
        ("[V:1]C8|[V:2]C8|[V:3]C8||[V:4]C8|\n", "barlines"),
        ("[V:1]C8|[V:2]c,,,8x?|[V:3]C8|[V:4]C8|\n", "durations"),
    ],
)
def test_voices_that_disagree(bar, reason):
    assert exclusion(tune(BAR + bar), closest=0.5) == f"voices disagree in {reason}"


def test_a_voice_that_was_left_out_rests_and_agrees():
    assert exclusion(tune("[V:1]C8|\n" + BAR), closest=0.5) == ""


@pytest.mark.parametrize(("closest", "copy"), [(0.949, False), (0.95, False), (0.951, True)])
def test_a_copy_is_closer_than_the_limit(closest, copy):
    assert exclusion(tune(BAR), closest) == ("copy of a real piece" if copy else "")


@pytest.mark.parametrize(
    ("names", "torn"),
    [
        (["Violin", "Violin", "Viola", "Cello"], ""),
        (["Violin", "Viola", "Violin", "Cello"], "Violin"),
        (["Piano", None, "Violin"], ""),  # a piano's second staff often has no name
        (["Piano", "Violin", "Piano"], "Piano"),
        (["Violin I", "Violin II", "Viola"], ""),
        ([None, None], ""),
    ],
)
def test_staves_of_an_instrument_stand_together(names, torn):
    voices = "".join(
        f"V:{number} treble" + (f' nm="{name}" snm="x."\n' if name else "\n")
        for number, name in enumerate(names, start=1)
    )
    found = tune("[V:1]C8|\n", voices)
    assert scattered_instrument(found) == torn
    assert exclusion(found, 0.5) == (f"staves of {torn} stand apart" if torn else "")
