"""What is said of each piece, and what a report makes of it."""

from math import isnan, nan

import pytest

from notagen.dpo.report import figures, write_page
from notagen.dpo.rollout import PromptGroup, Sample
from notagen.dpo.scoring import score_group
from notagen.dpo.settings import Bounds
from notagen.notation import Tune
from notagen.reward import EncoderConfig, Features, MusicEncoder

ALIKE = [{"written": 0.8, "real": 0.6}]
BOUNDS = Bounds(copies=0.5, long_runs=0.1, self_similarity=0.8, real_bits_increase=0.05)


def piece(**keys):
    row = {
        "prompt": "", "score": 0.5, "judge": None, "closest": 0.9, "bars": 8, "misaligned_bars": 0,
        "misaligned_first_draft": 2, "longest_run": 1,
    }  # fmt: skip
    return {**row, **keys}


def line(*rows, bits=1.0, before=()):
    return figures("policy", rows, ALIKE, 0.95, bits, before)


def test_shares_are_of_readable_pieces_and_of_their_bars():
    found = line(
        piece(), piece(closest=0.96, misaligned_first_draft=0, longest_run=8), piece(score=None)
    )
    assert found["misaligned_first_draft"] == 2 / 16
    assert found["copies"] == found["long_runs"] == 1 / 2
    assert found["unreadable"] == pytest.approx(1 / 3)
    assert found["real_bits_increase"] == 0


def test_what_is_forgotten_counts_from_the_first_policy():
    first = line(piece())
    second = line(piece(), bits=1.02, before=[first])
    assert line(piece(), bits=1.06, before=[first, second])["real_bits_increase"] == pytest.approx(
        0.06
    )


def test_a_prompt_with_one_readable_piece_does_not_hide_how_alike_the_others_are():
    alone = {"written": nan, "real": 0.4}
    found = figures("policy", [piece()], [*ALIKE, alone], 0.95, 1.0, ())
    assert found["self_similarity"] == 0.8
    assert found["real_self_similarity"] == pytest.approx(0.5)
    assert isnan(figures("policy", [piece()], [alone], 0.95, 1.0, ())["self_similarity"])


def test_bounds_are_kept_up_to_their_figure():
    first = line(piece(), piece(closest=0.96))
    assert BOUNDS.exceeded(first) == []
    worse = line(piece(longest_run=8), bits=1.06, before=[first])
    assert BOUNDS.exceeded(worse) == ["long_runs", "real_bits_increase"]
    page = write_page([first, worse], BOUNDS, [])
    [within] = [row for row in page.splitlines() if "within bounds" in row]
    assert [cell.strip() for cell in within.split("|")[2:4]] == [
        "yes", "no: long_runs, real_bits_increase"
    ]  # fmt: skip
    assert (
        "at most: copies 0.5, long_runs 0.1, self_similarity 0.8, real_bits_increase 0.05" in page
    )


def test_the_table_is_read_in_a_terminal_too():
    named = [{**line(piece()), "policy": f"runs/mine/dpo-{number}/model"} for number in (1, 2, 3)]
    table, _, _ = write_page(named, BOUNDS, []).partition("\n\n")
    head, *rest = table.splitlines()
    assert [cell.strip() for cell in head.split("|")[1:-1]] == ["policy", "dpo-1", "dpo-2", "dpo-3"]
    assert {len(row) for row in rest} == {len(head)}
    assert len(head) <= 100


def test_a_piece_that_was_drawn_again_too_often_is_not_chosen(tmp_path, rows):
    text = rows[0]["text"]
    bars = len(Tune.parse(text).bars)
    samples = [
        Sample(number, "", text, complete=number < 3, misaligned_first_draft=misaligned)
        for number, misaligned in enumerate((0, bars // 2, bars // 2 + 1, 0))
    ]
    encoder = Features(MusicEncoder(EncoderConfig(1, 64, 8, 64)).eval(), tmp_path)
    group = PromptGroup("", "", [row["text"] for row in rows[1:3]])
    scored, _ = score_group(samples, group, encoder, None, max_similarity=2, max_misaligned=0.5)
    assert [row["excluded"] for row in scored] == [
        "", "", "too many bars drawn again", "not finished"
    ]  # fmt: skip
