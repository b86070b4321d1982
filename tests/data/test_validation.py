import numpy as np
import pytest
import torch
from datasets import Dataset

from notagen.data.pieces import FixedPieces
from notagen.data.validation import FixedBatches, subset
from notagen.model import ModelConfig, NotaGen
from notagen.stages.pretrain import Pretrain
from tests.helpers.random_pieces import random_piece

SIZES = [9, 30, 12, 25, 7, 18, 40, 11, 22]


def batches(rank: int = 0, world_size: int = 1, batch_patches: int = 40) -> FixedBatches:
    pieces = [random_piece(size, seed=size) for size in SIZES]
    names = [f"piece {size}" for size in SIZES]
    return FixedBatches(pieces, names, SIZES, batch_patches, rank, world_size)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_share_the_batches_of_one(world_size):
    """Each piece once; equally many batches on each, of which some are not counted."""
    whole = [batches()[index] for index in range(len(batches()))]
    assert len(whole) == 4
    ranks = [batches(rank, world_size) for rank in range(world_size)]
    assert len({len(own) for own in ranks}) == 1
    steps = [ranks[rank][index] for index in range(len(ranks[0])) for rank in range(world_size)]
    counted = [batch for batch in steps if batch.counted]
    assert [batch.collections for batch in counted] == [batch.collections for batch in whole]
    names = [name for batch in counted for name in batch.collections]
    assert names == [f"piece {n}" for n in SIZES]
    assert all(len(batch.patches) == sum(batch.lengths) for batch in steps)


class Unread(list):
    """Rows of which none may be read yet."""

    def __getitem__(self, index):
        raise AssertionError("read before it was asked for")


def test_nothing_is_encoded_before_it_is_asked_for():
    pieces = FixedPieces(Unread([{}, {}]), 128)
    made = FixedBatches(pieces, ["", ""], [3, 4], 10, 0, 1)
    assert len(made) == 1
    with pytest.raises(AssertionError, match="read before"):
        made[0]


@pytest.mark.parametrize("world_size", [1, 3, 7])
def test_the_sums_of_all_ranks_are_those_of_one(world_size):
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=64)).eval()
    sums = []
    for rank in range(world_size):
        stage = Pretrain(model)
        loader = torch.utils.data.DataLoader(batches(rank, world_size), batch_size=None)
        with torch.no_grad():
            for index, batch in enumerate(loader):
                stage.validation_step(batch, index)
        loss, bits = stage.validation_loss, stage.validation_bits
        sums.append((loss.nats, loss.n_predicted, bits.nats, bits.characters))
    nats, n_predicted, _, characters = (sum(each).item() for each in zip(*sums, strict=True))
    pieces = [random_piece(size, seed=size) for size in SIZES]
    assert nats == pytest.approx(-model.log_prob(pieces).sum().item(), rel=1e-5)
    patches = np.concatenate(pieces)
    assert characters == (patches > 2).sum()
    assert nats / n_predicted == pytest.approx(float(model.loss(pieces)), rel=1e-5)


def test_a_subset_is_the_same_wherever_it_is_drawn():
    rows = Dataset.from_dict({"piece": [f"bach/{n}" for n in range(100)], "text": ["x"] * 100})
    chosen = subset(rows, 10)["piece"]
    assert len(set(chosen)) == 10
    assert list(chosen) == [name for name in rows["piece"] if name in set(chosen)], "in their order"
    assert set(subset(rows.select(range(99, -1, -1)), 10)["piece"]) == set(chosen)
    assert len(set(subset(rows.select(range(50, 100)), 10)["piece"]) & set(chosen)) >= 1
    assert subset(rows, None) is subset(rows, 100) is rows
