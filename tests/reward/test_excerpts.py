"""Excerpts that a music encoder is trained on."""

import numpy as np
import pytest

from notagen.patches import BOS
from notagen.reward.bar_patches import BAR_PATCH_SIZE, Task
from notagen.reward.excerpts import EncoderPieces


@pytest.fixture(scope="module")
def pieces(rows):
    return EncoderPieces(rows, patch_length=48, transpose="all", seed=0)


@pytest.fixture(scope="module")
def excerpts(pieces):
    return [pieces[epoch, index] for epoch in range(20) for index in range(len(pieces))]


def test_a_patch_is_followed_by_what_is_to_be_done_with_it(excerpts):
    assert {excerpt.shape[1] for excerpt in excerpts} == {BAR_PATCH_SIZE + 1}
    assert {len(excerpt) <= 48 for excerpt in excerpts} == {True}
    proofread = [excerpt[:, -1] for excerpt in excerpts if excerpt[:, -1].any()]
    assert 0.3 < len(proofread) / len(excerpts) < 0.6
    assert all((tasks > Task.RESTORE).all() for tasks in proofread)
    misplaced = {(tasks == Task.MISPLACED).mean() for tasks in proofread}
    assert len(misplaced) > 10  # in some a bar, in some nearly all


def test_a_header_is_never_out_of_place(excerpts):
    for excerpt in excerpts:
        starts_bar = [bytes(patch[1:4]) == b"[V:" for patch in excerpt]
        assert not (excerpt[: starts_bar.index(True), -1] == Task.MISPLACED).any()


def test_an_excerpt_is_the_same_however_often_it_is_asked_for(pieces):
    assert np.array_equal(pieces[3, 1], pieces[3, 1])
    assert (pieces[3, 1][:, 0] == BOS).all()
