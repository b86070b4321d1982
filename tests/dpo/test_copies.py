import pytest

from notagen.dpo.scoring import BarIndex
from notagen.notation import Tune

HEADER = "L:1/8\nM:4/4\nK:{}\nV:1 treble\nV:2 bass\n"
REAL = [
    ("C2 E2 G2 c2", "C,8"),
    ("d2 c2 B2 G2", "G,,8"),
    ("c8", "C,8"),
    ("E2 F2 G2 A2", "C,4 F,4"),
    ("z8", "z8"),
    ("B2 c2 d2 B2", "G,,4 B,,4"),
]
OTHER = ("c2 c2 c2 A2", "F,8")


def tune(bars, key="C"):
    body = "".join(f"[V:1]{upper}|[V:2]{lower}|\n" for upper, lower in bars)
    return Tune.parse(HEADER.format(key) + body)


@pytest.mark.parametrize(
    ("bars", "run"),
    [
        (REAL, 4),  # a bar of rests is no music that could be copied, and ends the run
        (REAL[:4], 4),
        ([OTHER, *REAL[1:3], OTHER], 2),
        ([OTHER, *REAL[:2], OTHER, REAL[2], REAL[3]], 2),
        ([OTHER, OTHER], 0),
        (REAL[3::-1], 1),  # the same bars in another order are no copy
        ([REAL[0], REAL[2]], 1),
    ],
)
def test_longest_run(bars, run):
    assert BarIndex([tune([OTHER[::-1]]), tune(REAL)]).longest_run(tune(bars)) == run


@pytest.mark.parametrize("key", ["Eb", "F#", "A"])
def test_a_copy_in_another_key_is_found(key):
    moved = tune(REAL).transpose(key)
    assert BarIndex([tune(REAL)]).longest_run(moved) == 4
    assert BarIndex([moved]).longest_run(tune(REAL).omit_rests()) == 4


def test_durations_count():
    index = BarIndex([tune(REAL)])
    assert index.longest_run(tune([("C3 E1 G2 c2", "C,8")])) == 0
    halved = tune([("C E G c", "C,4")])
    assert index.longest_run(halved) == 0
    assert index.longest_run(Tune(("L:1/4", *halved.header[1:]), halved.bars)) == 1
