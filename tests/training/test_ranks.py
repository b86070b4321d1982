"""Two ranks over gloo do what one process does."""

from itertools import chain
from pathlib import Path

import pytest
import torch

from notagen.model import NotaGen
from tests.helpers.overrides import small
from tests.helpers.ranks import scalars, train_on_ranks

pytestmark = pytest.mark.dist

CPUS = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true")


def recipe(corpus: Path, *more: str):
    """Six steps of two pieces each: two epochs of a corpus of six."""
    fixed = (
        "run=same",
        "stage.max_steps=6",
        "model.dropout=0.0",
        "+callbacks.seen._target_=tests.helpers.ranks.Seen",
    )
    return small(corpus, *fixed, "trainer.val_check_interval=3", *more)


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("alone")
    train_on_ranks(folder, recipe(corpus, "stage.data.batch_size=2", "~callbacks.progress"), 1)
    return folder


def check_same(folder: Path, alone: Path) -> None:
    """Same curves to 1e-4, same pieces at every step, same weights in ``model/``."""
    stage = Path("runs/same/pretrain")
    for tag in ("train/loss", "val/loss", "val/bits_per_character"):
        expected = scalars(alone / stage, tag)
        assert scalars(folder / stage, tag) == pytest.approx(expected, rel=0, abs=1e-4), tag
    kept = NotaGen.from_pretrained(alone / stage / "model").state_dict()
    for name, weight in NotaGen.from_pretrained(folder / stage / "model").state_dict().items():
        torch.testing.assert_close(weight, kept[name], rtol=0, atol=1e-4, msg=name)


def seen(folder: Path, ranks: int) -> list[list[bytes]]:
    """The pieces of each step, of all ranks."""
    of_ranks = [torch.load(folder / f"seen-{rank}.pt", weights_only=True) for rank in range(ranks)]
    return [sorted(chain(*batches)) for batches in zip(*of_ranks, strict=True)]


def test_ddp_is_one_process_on_the_same_batches(tmp_path, alone, corpus):
    train_on_ranks(tmp_path, recipe(corpus, "stage.data.batch_size=1", "trainer=ddp", *CPUS))
    check_same(tmp_path, alone)
    steps = seen(tmp_path, 2)
    assert steps == seen(alone, 1)
    for epoch in (steps[:3], steps[3:]):
        assert len(set(chain(*epoch))) == 6, "every piece of the corpus once"
    assert "step 6/6" in (tmp_path / "rank-0.log").read_text()
    assert (tmp_path / "rank-1.log").read_text() == "", "one rank speaks for all"


def test_fsdp_is_one_process_and_resumes_from_shards(tmp_path, alone, corpus):
    """Three steps; then, from the folder of shards, three more."""
    sharded = recipe(
        corpus, "stage.data.batch_size=1", "trainer=fsdp", *CPUS,
        "trainer.strategy.save_distributed_checkpoint=true",
    )  # fmt: skip
    train_on_ranks(tmp_path, [*sharded, "stage.max_steps=3"])
    last = tmp_path / "runs/same/pretrain/checkpoints/last.ckpt"
    assert {file.suffix for file in last.iterdir()} == {".distcp", ".pt", ""}
    train_on_ranks(tmp_path, [*sharded, "resume=true"])
    check_same(tmp_path, alone)
    assert len(list(last.parent.iterdir())) == 4, "two links, and the folder that each names"


def test_a_run_is_handed_from_any_number_of_ranks_to_any_other(tmp_path, alone, corpus):
    """In the middle of an epoch, by files and by folders of shards, two pieces a step always."""
    one = ("stage.data.batch_size=2", "~callbacks.progress")
    two = ("stage.data.batch_size=1", *CPUS)
    shards = "trainer.strategy.save_distributed_checkpoint=true"
    parts = [
        (1, one),
        (2, (*two, "trainer=ddp")),
        (1, one),
        (2, (*two, "trainer=fsdp", shards)),
        (1, one),
        (2, (*two, "trainer=fsdp")),
    ]
    steps: list[list[bytes]] = []
    for last, (ranks, keys) in enumerate(parts, 1):
        more = (f"stage.max_steps={last}", *(("resume=true",) if last > 1 else ()))
        train_on_ranks(tmp_path, recipe(corpus, *keys, *more), ranks)
        steps += seen(tmp_path, ranks)
    assert steps == seen(alone, 1)
    check_same(tmp_path, alone)
