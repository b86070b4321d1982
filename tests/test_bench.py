"""The benchmark's machinery at toy sizes: every kind of row, both sides equal, JSON."""

import json
from dataclasses import asdict, fields

import numpy as np
import pytest
import torch

from benchmarks import reference, table
from benchmarks.aligning import Learning
from benchmarks.generating import Writing
from benchmarks.preferring import Preferring
from benchmarks.suite import Suite
from benchmarks.table import Row
from benchmarks.training import Step
from notagen.generation import Sampling
from notagen.model import ModelConfig

TOY = ModelConfig(patch_layers=1, char_layers=1, hidden_size=64, patch_length=64)
SUITE = Suite(
    rounds=1,
    product=64,
    memory=1,
    steps=(Step("toy", TOY, pieces=2, patches=16, goals=("2", "at most 1")),),
    pairs=(Preferring("toy", TOY, patches=16, goal="3"),),
    writings=(
        Writing("toy", TOY, {(8, 1): "2", (8, 3): "4"}, patches=2, rounded={(8, 1): ""}, whole=2),
    ),
    learnings=(Learning("toy", TOY, steps=2, patches=40, pieces=1),),
    chorales=1,
    movement="bach/bwv66.6.mxl",
    commands=("prepare",),
)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(SUITE.rows(threads=1))


def test_every_work_is_in_the_table(rows):
    works = " ".join(row.work for row in rows)
    for work in (
        "matrix product",
        "memory",
        "write toy, its weights read from memory",
        "train toy 2×16",
        "DPO toy 2×16",
        "write toy, context 8, batch 3",
        "write toy, context 8, batch 1, int8",
        "generate() toy, align=enforce",
        "generate() toy, 2 patches, batch 8",
        "encode text",
        "encode a prepared row",
        "item, a chorale of",
        "item, a quartet movement of",
        "prepare, a chorale of",
        "notagen.prepare --help",
    ):
        assert work in works
    assert all(row.ours > 0 for row in rows if row.unit != "bars misaligned")


def test_ratios_lie_within_their_rounds(rows):
    measured = [row for row in rows if row.ratios]
    assert len(measured) >= 10
    for row in measured:
        assert row.ratios[0] <= row.ratio <= row.ratios[1]
    [step] = [row for row in rows if row.work == "train toy 2×16" and row.unit == "CPU ms"]
    assert step.ratio == pytest.approx(step.reference / step.ours)  # there is but one round


def test_the_table_survives_as_json_and_text(rows):
    stored = json.loads(json.dumps([asdict(row) for row in rows]))
    assert [row["ours"] for row in stored] == [row.ours for row in rows]
    assert stored[0].keys() == {field.name for field in fields(Row)}
    assert all(table.line(row).startswith(row.work) for row in rows)
    [step] = [row for row in rows if row.work == "train toy 2×16" and row.unit == "CPU ms"]
    assert table.line(step).split()[-1] == "2"  # the goal
    assert table.heading().index("goal") == table.line(step).rindex("2")


def test_the_reference_draws_as_often_as_our_sampling_does():
    logits = torch.tensor([2.0, 1.5, 1.0, 0.0, -1.0] + [-4.0] * 123)
    rng = np.random.default_rng(0)
    theirs = [reference.draw(logits.softmax(-1), rng) for _ in range(2000)]
    evenly = (np.arange(2000) + 0.5) / 2000
    ours = Sampling().draw(logits.expand(2000, -1), evenly.tolist())
    share = [np.bincount(ids, minlength=128) / 2000 for ids in (theirs, ours)]
    np.testing.assert_allclose(*share, atol=0.05)
    assert np.count_nonzero(share[1]) == 3
    assert set(theirs) == set(ours)
