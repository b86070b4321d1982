from itertools import islice
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from notagen.dpo.iteration import Iteration
from notagen.dpo.settings import Bounds, PairSettings, RolloutSettings
from notagen.errors import UserError
from notagen.generation import Sampling
from notagen.stages.dpo import DPOData

ROLES = ["chosen", "chosen", "rejected", "rejected", "rejected", "chosen", "rejected"]
GROUPS = [0, 0, 0, 0, 0, 1, 1]
WITHIN = {(c, r) for c in (0, 1) for r in (2, 3, 4)} | {(5, 6)}


@pytest.fixture
def folder(golden, tmp_path):
    rows = [
        {
            "number": i,
            "group": group,
            "role": role,
            "prompt": "abc"[group],
            "score": 0.5,
            "text": case["text"],
        }
        for i, (group, role, case) in enumerate(
            zip(GROUPS, ROLES, golden("patches_dpo.json"), strict=False)
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "preferences.parquet")
    return tmp_path


def data(folder, corpus, *, batch_size=1, rank=0, ranks=1, patch_length=512):
    settings = RolloutSettings(1, 1, 1, 1), PairSettings(0.1, 0.95, 1.0, "within")
    bounds = Bounds(0.1, 0.02, 0.9, 0.1)
    iteration = Iteration(
        str(folder), 1, "policy", str(corpus), None, None, None, Sampling(), *settings, bounds, 0
    )
    made = DPOData(iteration, str(corpus), patch_length, batch_size, seed=0)
    made.trainer = SimpleNamespace(
        world_size=ranks,
        global_rank=rank,
        is_global_zero=True,  # of both: one process reads what the first rank would
        ckpt_path=None,
        strategy=SimpleNamespace(barrier=lambda: None, broadcast=lambda value: value),
        lightning_module=SimpleNamespace(model=torch.nn.Linear(1, 1)),
    )
    made.setup("fit")
    return made


def drawn(loader):
    """Pairs of numbers."""
    return [tuple(column.tolist()) for batch in loader for column in batch.numbers.view(2, -1).T]


@pytest.mark.parametrize("length", [512, 128])
def test_pieces_are_the_published_patches_cut_to_the_context(folder, corpus, golden, length):
    pieces = data(folder, corpus, patch_length=length).pieces
    for piece, case in zip(pieces.values(), golden("patches_dpo.json"), strict=False):
        assert piece.tolist() == case["ids"][:length]


def test_an_epoch_is_every_pair_within_its_group_once(folder, corpus):
    loader = data(folder, corpus).train_dataloader()
    first = drawn(loader)
    assert len(first) == len(set(first)) == 7
    assert set(first) == WITHIN
    loader.batches.set_epoch(1)
    second = drawn(loader)
    assert set(second) == WITHIN
    assert first != second


def test_a_batch_holds_chosen_then_rejected_pieces(folder, corpus):
    made = data(folder, corpus, batch_size=3)
    [batch, *_] = made.train_dataloader()
    numbers = batch.numbers.tolist()
    assert [ROLES[number] for number in numbers] == ["chosen"] * 3 + ["rejected"] * 3
    assert batch.prompts == ["abc"[GROUPS[number]] for number in numbers[:3]]
    packed = np.split(batch.patches.numpy(), batch.lengths.cumsum(0)[:-1])
    for number, piece in zip(numbers, packed, strict=True):
        assert np.array_equal(piece, made.pieces[number])


def test_ranks_share_an_epoch_and_a_resumed_one_goes_on(folder, corpus):
    shares = [drawn(data(folder, corpus, rank=i, ranks=2).train_dataloader()) for i in range(2)]
    assert not set(shares[0]) & set(shares[1])
    assert len(shares[0]) == len(shares[1]) == 3
    loader = data(folder, corpus).train_dataloader()
    whole = drawn(data(folder, corpus).train_dataloader())
    begun = iter(loader)
    list(islice(begun, 3))
    resumed = data(folder, corpus).train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert drawn(resumed) == whole[3:]


def test_too_few_pairs_are_refused(folder, corpus):
    with pytest.raises(UserError, match="7 pairs, fewer than one batch of 4 on each of 2"):
        data(folder, corpus, batch_size=4, ranks=2)
