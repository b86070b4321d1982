from itertools import islice

import lightning as L
import numpy as np
import pytest

from notagen.data.batches import PatchBatches, PieceLoader
from notagen.data.pieces import PieceDataset
from notagen.errors import UserError
from notagen.stages.pretrain import PretrainData

SIZES = np.random.default_rng(0).integers(10, 513, size=200).tolist()


def batches(rank=0, world_size=1, epoch=0, sizes=SIZES, batch_patches=2048) -> PatchBatches:
    made = PatchBatches(sizes, batch_patches, 7, rank, world_size)
    made.set_epoch(epoch)
    return made


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_piece_is_in_one_batch_of_one_rank(world_size):
    ranks = [list(batches(rank, world_size)) for rank in range(world_size)]
    assert {len(own) for own in ranks} == {len(batches(0, world_size))}
    seen = [item for own in ranks for batch in own for item in batch]
    assert sorted(seen) == [(0, index) for index in range(len(SIZES))]


def test_batches_hold_about_as_many_patches():
    drawn = [sum(SIZES[index] for _, index in batch) for batch in batches()]
    assert max(abs(np.array(drawn) - sum(SIZES) / len(drawn))) < max(SIZES)
    assert np.mean(drawn) == pytest.approx(2048, rel=0.05)
    assert len({len(batch) for batch in batches()}) > 1, "as many pieces in each"


@pytest.mark.parametrize("sizes", [[512] * 9, [1, 512] * 8, [512, *[1] * 600]])
def test_no_batch_is_empty(sizes):
    for epoch in range(5):
        drawn = list(batches(epoch=epoch, sizes=sizes, batch_patches=512))
        assert len(drawn) == sum(sizes) // 512
        assert all(drawn)


def test_an_epoch_has_its_own_order_and_as_many_batches():
    first, again, second = list(batches()), list(batches()), list(batches(epoch=1))
    assert first == again
    assert len(first) == len(second)
    assert [i for batch in first for _, i in batch] != [i for batch in second for _, i in batch]


def test_a_piece_longer_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="a piece of 600 patches"):
        batches(sizes=[600, 20], batch_patches=512)


@pytest.mark.parametrize("handed_out", [0, 1, 2])
def test_a_restored_loader_continues_where_it_was(rows, handed_out):
    def loader() -> PieceLoader:
        sizes = [row["characters"] // 10 for row in rows]
        own = PatchBatches(sizes, max(sizes), 7, 0, 1)
        return PieceLoader(PieceDataset(rows, 128, "all", 7), own, workers=0)

    expected = [batch.patches.tolist() for batch in loader()]
    assert len(expected) > handed_out
    interrupted, restored = loader(), loader()
    for _ in islice(interrupted, handed_out):
        pass
    restored.load_state_dict(interrupted.state_dict())
    assert [batch.patches.tolist() for batch in restored] == expected[handed_out:]


def train_batches(corpus, batch_patches: int) -> list[int]:
    """Patches of each batch that the data module makes of six pieces."""
    data = PretrainData(str(corpus), 128, 2, "original", 0, 7, batch_patches=batch_patches)
    data.trainer = L.Trainer(accelerator="cpu", devices=1, logger=False, barebones=True)
    data.setup()
    return [len(batch.patches) for batch in data.train_dataloader()]


def test_the_data_module_makes_them(corpus):
    fewer, more = train_batches(corpus, 384), train_batches(corpus, 128)
    assert sum(fewer) == sum(more)
    assert 1 <= len(fewer) < len(more) <= 6


@pytest.mark.parametrize(
    ("batch_patches", "reason"),
    [(64, "128 patches, more than a batch of 64"), (10**6, "fewer than one batch of 1000000")],
)
def test_batches_that_cannot_be_made_are_refused(corpus, batch_patches, reason):
    with pytest.raises(UserError, match=reason):
        train_batches(corpus, batch_patches)
