from itertools import islice

import lightning as L
import pytest
import torch

from notagen.data.batches import PieceLoader, ShuffledBatches
from notagen.data.pieces import PieceDataset
from notagen.errors import UserError


def loader(rows, batch_size=2, rank=0, world_size=1, workers=0) -> PieceLoader:
    batches = ShuffledBatches(len(rows), batch_size, 7, rank, world_size)
    return PieceLoader(PieceDataset(rows, 128, "all", 7), batches, workers)


def same(left, right) -> bool:
    return torch.equal(left.patches, right.patches) and torch.equal(left.lengths, right.lengths)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_an_epoch_without_overlap(world_size):
    seen = []
    for rank in range(world_size):
        batches = ShuffledBatches(13, 2, 0, rank, world_size)
        drawn = list(batches)
        assert len(drawn) == len(batches)
        seen += [index for batch in drawn for _, index in batch]
    assert len(seen) == len(set(seen)) == 13 // (2 * world_size) * 2 * world_size


def test_every_epoch_has_an_order_of_its_own():
    batches = ShuffledBatches(50, 5, 0, 0, 1)
    first = [index for batch in batches for _, index in batch]
    batches.set_epoch(1)
    second = [index for batch in batches for _, index in batch]
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second


@pytest.mark.parametrize("handed_out", [0, 1, 3, 4])
def test_a_restored_loader_continues_where_it_was(rows, handed_out):
    whole = loader(rows)
    expected = list(whole)
    interrupted = loader(rows)
    for _ in islice(interrupted, handed_out):
        pass
    restored = loader(rows)
    restored.load_state_dict(interrupted.state_dict())
    rest = list(restored)
    # At the end of an epoch what is left is the next one, whole.
    expected = expected[handed_out % len(whole) :]
    assert len(rest) == len(expected)
    assert all(same(a, b) for a, b in zip(rest, expected, strict=True))
    assert restored.state_dict()["handed_out"] == 0


def test_workers_change_nothing(rows):
    alone, helped = list(loader(rows)), list(loader(rows, workers=2))
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_another_number_of_ranks_is_refused(rows):
    state = loader(rows).state_dict()
    with pytest.raises(UserError, match="world_size 1 and cannot go on with 2"):
        loader(rows, world_size=2).load_state_dict(state)


class Idle(L.LightningModule):
    """Notes the batches it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def training_step(self, batch, index) -> None:
        self.seen.append(batch)

    def configure_optimizers(self) -> None:
        return None


@pytest.mark.parametrize("workers", [0, 1])
def test_lightning_tells_the_loader_which_epoch_it_is(rows, workers):
    stage = Idle()
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(stage, loader(rows, workers=workers))
    expected = loader(rows)
    first = list(expected)
    expected.batches.set_epoch(1)
    second = list(expected)
    assert all(same(a, b) for a, b in zip(stage.seen, first + second, strict=True))
    assert not any(same(a, b) for a, b in zip(first, second, strict=True))
