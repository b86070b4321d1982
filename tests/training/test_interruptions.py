"""A run that is stopped, in whatever way, goes on as if it had not been."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from notagen.training.checkpoints import AtomicCheckpointIO
from tests.helpers.overrides import small
from tests.helpers.ranks import scalars, start

STAGE = Path("runs/cut/pretrain")
LAST = STAGE / "checkpoints/last.ckpt"
STEPS = 20


def recipe(corpus: Path, *more: str):
    """Twenty steps of a moment each, three an epoch, some of them followed by a validation."""
    rhythm = ("trainer.val_check_interval=7", "callbacks.last.every_n_train_steps=5")
    return small(corpus, "run=cut", f"stage.max_steps={STEPS}", *rhythm, "~callbacks.sample", *more)


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory) -> Path:
    """A run that nobody stops."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, recipe(corpus))
    process.join()
    assert process.exitcode == 0
    return folder


@pytest.fixture
def stopped(corpus, tmp_path) -> Iterator[Callable[[signal.Signals, int], int]]:
    """Starts a run, sends it a signal at some step, and returns its exit code."""
    processes = []

    def stop(sent: signal.Signals, step: int) -> int:
        process = start(tmp_path, recipe(corpus))
        processes.append(process)
        while process.is_alive() and reached(tmp_path / LAST) < step:
            time.sleep(0.001)
        assert process.is_alive(), (tmp_path / "rank-0.log").read_text()
        os.kill(process.pid, sent)
        process.join()
        return process.exitcode

    yield stop
    for process in processes:
        process.kill()


def reached(last: Path) -> int:
    """The step of a checkpoint, which at every moment is none or whole."""
    if not last.exists():
        return 0
    return torch.load(last, weights_only=True, mmap=True)["global_step"]


def check_same(folder: Path, whole: Path) -> None:
    mine, theirs = (torch.load(path / LAST, weights_only=True) for path in (folder, whole))
    assert mine["global_step"] == theirs["global_step"] == STEPS
    for part in ("state_dict", "lr_schedulers", "validation"):
        torch.testing.assert_close(mine[part], theirs[part], rtol=0, atol=0, msg=part)
    moments, expected = (run["optimizer_states"][0]["state"] for run in (mine, theirs))
    torch.testing.assert_close(moments, expected, rtol=0, atol=0)
    for tag in ("val/loss", "lr-AdamW"):
        assert scalars(folder / STAGE, tag) == scalars(whole / STAGE, tag), tag


def test_a_killed_run_goes_on_as_if_it_had_not_been(whole, stopped, corpus, tmp_path):
    assert stopped(signal.SIGKILL, 7) == -signal.SIGKILL
    at = reached(tmp_path / LAST)
    assert 7 <= at < STEPS, "inside an epoch, around a validation"
    process = start(tmp_path, recipe(corpus, "resume=true"))
    process.join()
    assert process.exitcode == 0, (tmp_path / "rank-0.log").read_text()
    check_same(tmp_path, whole)
    curve, expected = (scalars(path / STAGE, "train/loss") for path in (tmp_path, whole))
    assert {step: curve[step] for step in range(at, STEPS)} == {
        step: expected[step] for step in range(at, STEPS)
    }


def test_sigterm_saves_the_step_it_is_at(whole, stopped, corpus, tmp_path):
    """As a cluster's pre-emption: 143, as of any process that is terminated."""
    assert stopped(signal.SIGTERM, 7) == 128 + signal.SIGTERM
    at = reached(tmp_path / LAST)
    curve = scalars(tmp_path / STAGE, "train/loss")
    assert max(curve) == at - 1, "no step is lost, and none is counted twice"
    process = start(tmp_path, recipe(corpus, "resume=true"))
    process.join()
    check_same(tmp_path, whole)
    assert scalars(tmp_path / STAGE, "train/loss") == scalars(whole / STAGE, "train/loss")


def test_a_write_that_is_cut_off_leaves_the_one_before(tmp_path):
    class Unwritable:
        def __reduce__(self):
            raise OSError("the disk is full")

    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
    with pytest.raises(OSError, match="full"):
        AtomicCheckpointIO().save_checkpoint({"step": 2, "more": Unwritable()}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def not_a_checkpoint(path: Path) -> None:
    path.write_text("step 7")


def of_something_else(path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(2)}}, path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "damaged or no checkpoint.*best.ckpt"),
        (not_a_checkpoint, "damaged or no checkpoint"),
        (of_something_else, "has no .*state_dict.*not written by this program"),
    ],
)
def test_a_bad_checkpoint_is_said_in_one_sentence(run, corpus, spoil, message):
    run("train", *small(corpus, "run=bad", "stage.max_steps=2"))
    last = Path("runs/bad/pretrain/checkpoints/last.ckpt")
    spoil(last)
    before = last.read_bytes()
    with pytest.raises(SystemExit, match=f"notagen: cannot go on from .*{message}"):
        run("train", *small(corpus, "run=bad", "resume=true"))
    assert last.read_bytes() == before


def test_a_checkpoint_of_another_model_is_refused(run, corpus):
    run("train", *small(corpus, "run=other", "stage.max_steps=2"))
    with pytest.raises(SystemExit, match=r"its .* is \[.*64\], that of this model .*128"):
        run("train", *small(corpus, "run=other", "model.hidden_size=128", "resume=true"))
