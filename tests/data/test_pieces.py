import numpy as np
import pytest
import torch

from notagen.data.batches import pack
from notagen.data.pieces import PieceDataset, validation_pieces
from notagen.errors import UserError
from notagen.notation import KEYS, Tune
from notagen.patches import decode, encode


def test_an_item_depends_on_seed_epoch_and_index_alone(rows):
    first, second = (PieceDataset(rows, 128, "all", seed=3) for _ in range(2))
    assert all(np.array_equal(first[e, i], second[e, i]) for e in (0, 1) for i in range(len(rows)))
    other = PieceDataset(rows, 128, "all", seed=4)
    assert any(not np.array_equal(first[0, i], other[0, i]) for i in range(len(rows)))
    assert any(not np.array_equal(first[0, i], first[1, i]) for i in range(len(rows)))


def test_all_fifteen_keys_are_drawn(rows):
    pieces = PieceDataset(rows[2:3], 10_000, "all", seed=0)
    drawn = {Tune.parse(decode(pieces[epoch, 0])).key for epoch in range(150)}
    assert drawn == set(KEYS)


def test_original_key_is_kept(rows):
    pieces = PieceDataset(rows, 10_000, "original", seed=0)
    for index, row in enumerate(rows):
        expected = Tune.parse(row["text"]).to_interleaved(omit_rests=True)
        assert np.array_equal(pieces[5, index], encode(expected))


def test_no_item_is_longer_than_the_context(rows):
    pieces = PieceDataset(rows, 100, "all", seed=0)
    lengths = [len(pieces[epoch, i]) for epoch in range(5) for i in range(len(rows))]
    assert max(lengths) == 100
    assert all(len(piece) <= 100 for piece in validation_pieces(rows, 100))


def test_pack_lays_pieces_end_to_end(rows):
    pieces = validation_pieces(rows[:3], 128)
    batch = pack(pieces)
    assert batch.patches.dtype == torch.uint8
    for piece, part in zip(pieces, batch.patches.split(batch.lengths.tolist()), strict=True):
        assert np.array_equal(part.numpy(), piece)


def test_a_piece_that_is_no_music_is_named(rows):
    spoilt = [dict(rows[0], text="L:1/8\nK:C\nV:1 treble\n[V:9]oh no|\n")]
    wrong = rf"piece {rows[0]['piece']} of the prepared corpus is no music \(.*overwrite=true"
    with pytest.raises(UserError, match=wrong):
        PieceDataset(spoilt, 128, "original", 0)[0, 0]
    with pytest.raises(UserError, match=wrong):
        validation_pieces(spoilt, 128)
