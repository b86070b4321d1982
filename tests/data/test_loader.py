from itertools import islice

import lightning as L
import numpy as np
import pytest
import torch

from notagen.data.batches import PatchBatches, PieceLoader, ShuffledBatches
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


@pytest.mark.parametrize("handed_out", [0, 1, 3])
def test_a_restored_loader_continues_where_it_was(rows, handed_out):
    expected = list(loader(rows))
    interrupted = loader(rows)
    for _ in islice(interrupted, handed_out):
        pass
    restored = loader(rows)
    restored.load_state_dict(interrupted.state_dict())
    rest = list(restored)
    expected = expected[handed_out:]
    assert len(rest) == len(expected)
    assert all(same(a, b) for a, b in zip(rest, expected, strict=True))


@pytest.mark.parametrize("handed_out", [2, 4], ids=["cut off by limit_train_batches", "whole"])
def test_the_epoch_after_a_resume_is_whole(rows, handed_out):
    stopped = loader(rows)
    for _ in islice(stopped, handed_out):
        pass
    restored = loader(rows)
    restored.load_state_dict(stopped.state_dict())
    restored.batches.set_epoch(1)
    expected = loader(rows)
    expected.batches.set_epoch(1)
    assert all(same(a, b) for a, b in zip(restored, expected, strict=True))


def indices(batches) -> list[int]:
    return [index for batch in batches for _, index in batch]


def on_ranks(make, world_size: int, state=None) -> list[PieceLoader]:
    """A loader of each rank."""
    loaders = [PieceLoader([], make(rank, world_size), workers=0) for rank in range(world_size)]
    for each in loaders if state is not None else ():
        each.load_state_dict(state)
    return loaders


def used(loaders: list[PieceLoader], batches: int) -> set[int]:
    """Pieces that all ranks take, which must differ, in some batches of each."""
    found: list[int] = []
    for each in loaders:
        found += indices(islice(each.batches, batches))
        each.handed_out += batches
    assert len(found) == len(set(found))
    return set(found)


SIZES = np.random.default_rng(1).integers(20, 100, size=96).tolist()


@pytest.mark.parametrize(
    "make",
    [
        lambda rank, ranks: ShuffledBatches(96, 4 // ranks, 7, rank, ranks),
        lambda rank, ranks: PatchBatches(SIZES, 400 // ranks, 7, rank, ranks),
        lambda rank, ranks: PatchBatches(SIZES, 150, 7, rank, ranks),
    ],
    ids=["pieces", "patches", "patches, another sum"],
)
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (4, 2), (2, 4)])
def test_another_number_of_ranks_takes_the_other_pieces(make, before, after):
    """Resumed twice in one epoch: no piece is seen twice, and of pieces in fours none left out."""
    first = on_ranks(make, before)
    seen = used(first, 5)
    second = on_ranks(make, after, first[0].state_dict())
    assert second[0].divided_anew
    more = used(second, 3)
    third = on_ranks(make, before, second[0].state_dict())
    again = on_ranks(make, before, third[0].state_dict())
    assert not again[0].divided_anew
    left = third[0].batches.remaining()
    rest = used(third, left)
    assert used(again, left) == rest
    assert len(seen) + len(more) + len(rest) == 96, "none twice"
    assert seen | more | rest == set(range(96))


def test_the_same_pieces_a_step_give_the_same_steps():
    """Four pieces a step by one rank or two."""
    one = on_ranks(lambda rank, ranks: ShuffledBatches(96, 4, 7, rank, ranks), 1)
    steps = [set(indices([batch])) for batch in one[0].batches]
    begun = on_ranks(lambda rank, ranks: ShuffledBatches(96, 4, 7, rank, ranks), 1)
    used(begun, 5)
    state = begun[0].state_dict()
    two = on_ranks(lambda rank, ranks: ShuffledBatches(96, 2, 7, rank, ranks), 2, state)
    for step, *batches in zip(steps[5:], *(each.batches for each in two), strict=True):
        assert set(indices(batches)) == step


def test_workers_change_nothing(rows):
    alone, helped = list(loader(rows)), list(loader(rows, workers=2))
    assert all(same(a, b) for a, b in zip(alone, helped, strict=True))


def test_another_corpus_is_refused(rows):
    state = loader(rows).state_dict()
    with pytest.raises(UserError, match="pieces 9 and cannot resume with 8"):
        loader(rows[:8]).load_state_dict(state)


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
