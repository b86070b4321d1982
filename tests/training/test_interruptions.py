"""A run that is stopped, in whatever way, is resumed as if it had not been."""

import csv
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning as L
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
    with pytest.raises(SystemExit, match=f"notagen: cannot resume from .*{message}"):
        run("train", *small(corpus, "run=bad", "resume=true"))
    assert last.read_bytes() == before


class Unwritable:
    def __reduce__(self):
        raise OSError("the disk is full")


class FullDisk(L.Callback):
    """Makes the writing of ``best.ckpt`` fail at some step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_save_checkpoint(self, trainer, stage, checkpoint) -> None:
        now_best = trainer.checkpoint_callback.current_score is not None
        if trainer.validating and now_best and trainer.global_step == self.step:
            checkpoint["more"] = Unwritable()


@pytest.mark.parametrize("step", [2, 4], ids=["on the way", "at the end"])
def test_the_best_weights_are_those_of_an_undisturbed_run(run, corpus, step):
    """The disk is full when ``best.ckpt`` is written; then there is room again."""
    keys = ("~callbacks.sample", "trainer.val_check_interval=2")
    run("train", *small(corpus, "run=whole", *keys))
    disk = "tests.training.test_interruptions.FullDisk"
    full = (f"+callbacks.full._target_={disk}", f"+callbacks.full.step={step}")
    with pytest.raises((OSError, SystemExit)):
        run("train", *small(corpus, "run=full", *keys, *full))
    run("train", *small(corpus, "run=full", *keys, "resume=true"))
    whole, resumed = (
        torch.load(f"runs/{name}/pretrain/checkpoints/best.ckpt", weights_only=True)
        for name in ("whole", "full")
    )
    assert resumed["global_step"] == whole["global_step"] == 4
    assert resumed["validation"] == whole["validation"]
    assert Path("runs/full/pretrain/model/model.safetensors").read_bytes() == (
        Path("runs/whole/pretrain/model/model.safetensors").read_bytes()
    )


def test_a_run_that_was_moved_remembers_its_best_weights(run, corpus):
    """A later validation that is worse does not replace them."""
    keys = ("~callbacks.sample", "optimizer.lr=0.01", "trainer.val_check_interval=1")
    run("train", *small(corpus, "run=here", "stage.max_steps=2", *keys))
    Path("runs/here").rename("runs/there")
    best = Path("runs/there/pretrain/checkpoints/best.ckpt")
    last = best.with_name("last.ckpt")
    contents = torch.load(last, weights_only=True)
    [state] = [each for name, each in contents["callbacks"].items() if "BestCheckpoint" in name]
    for record in (state["best_k_models"],):
        record[next(iter(record))] = torch.tensor(0.001)
    state["best_model_score"] = state["kth_value"] = torch.tensor(0.001)  # cannot be beaten
    torch.save(contents, last)
    before = best.read_bytes()
    run("train", *small(corpus, "run=there", "stage.max_steps=4", *keys, "resume=true"))
    assert best.read_bytes() == before


@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_resume_is_exact_where_validation_falls_within_an_accumulation(run, corpus, stop):
    """Two batches a step and a validation every three, so that every other is amid a step."""
    keys = ("~callbacks.sample", "trainer.accumulate_grad_batches=2", "stage.data.batch_size=1")
    run("train", *small(corpus, "run=whole", *keys, "trainer.val_check_interval=3"))
    common = small(corpus, "run=cut", *keys, "trainer.val_check_interval=3")
    stopping = "tests.training.test_interruptions.StopAfterBatch"
    with pytest.raises(SystemExit):
        run(
            "train",
            *common,
            "callbacks.last.every_n_train_steps=1",
            f"+callbacks.stop._target_={stopping}",
            f"+callbacks.stop.batches={stop}",
        )
    run("train", *common, "callbacks.last.every_n_train_steps=1", "resume=true")
    whole, cut = (
        torch.load(f"runs/{name}/pretrain/checkpoints/last.ckpt", weights_only=True)
        for name in ("whole", "cut")
    )
    assert whole["global_step"] == cut["global_step"] == 4
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, cut["state_dict"][name]), name
    assert scalars(Path("runs/cut/pretrain"), "val/loss") == scalars(
        Path("runs/whole/pretrain"), "val/loss"
    )


class StopAfterBatch(L.Callback):
    """Ends the process when the batch after ``batches`` begins, as a kill would."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(self, trainer, stage, batch, index) -> None:
        if trainer.fit_loop.total_batch_idx == self.batches:
            raise SystemExit(1)


def test_an_epoch_cut_short_is_resumed_with_the_next_one(run, corpus):
    """Two of three batches an epoch; stopped at the end of the first epoch."""
    keys = ("~callbacks.sample", "+trainer.limit_train_batches=2", "trainer.val_check_interval=4")
    seen = "+callbacks.seen._target_=tests.helpers.ranks.Seen"
    run("train", *small(corpus, "run=whole", *keys, seen))
    whole = torch.load("seen-0.pt", weights_only=True)
    run("train", *small(corpus, "run=cut", *keys, seen, "stage.max_steps=2"))
    first = torch.load("seen-0.pt", weights_only=True)
    run("train", *small(corpus, "run=cut", *keys, seen, "resume=true"))
    assert first + torch.load("seen-0.pt", weights_only=True) == whole
    assert len(whole) == 4


def test_a_table_of_numbers_is_continued(run, corpus):
    """Without a row twice, also where the first part had gone further than its checkpoint."""
    keys = ("logger=csv", "~callbacks.sample", "~callbacks.throughput", "~callbacks.memory")
    common = small(corpus, "run=cut", *keys, "callbacks.last.every_n_train_steps=2")
    run("train", *small(corpus, "run=whole", *keys))
    stopping = "tests.training.test_interruptions.StopAfterBatch"
    stop = (f"+callbacks.stop._target_={stopping}", "+callbacks.stop.batches=3")
    with pytest.raises(SystemExit):
        run("train", *common, *stop, "logger.csv.flush_logs_every_n_steps=1")
    table = Path("runs/cut/pretrain/metrics.csv")
    assert max(int(row["step"]) for row in csv.DictReader(table.open())) > 1
    run("train", *common, "resume=true")
    rows, expected = (
        [
            {name: value for name, value in row.items() if value and name != "epoch"}
            for row in csv.DictReader(
                Path(f"runs/{name}/pretrain/metrics.csv").read_text().splitlines()
            )
        ]
        for name in ("cut", "whole")
    )
    assert rows == expected
