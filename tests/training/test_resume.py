"""A run is resumed with the settings it was begun with, or refused in one sentence."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from tests.helpers.overrides import small
from tests.helpers.ranks import start

OUT = Path("runs/default/pretrain")
LAST = OUT / "checkpoints/last.ckpt"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["optimizer.lr=1"], r"optimizer.lr=0.003 \(now 1\)"),
        (["optimizer.weight_decay=5"], r"optimizer.weight_decay=0.01 \(now 5\)"),
        (["stage.learning_rate=1"], r"stage.learning_rate=0.003 \(now 1\)"),
        (["optimizer=muon"], r"optimizer=AdamW \(now Muon\)"),
        (["schedule=linear"], r"schedule=get_constant_schedule_with_warmup \(now get_linear"),
        (["schedule.num_warmup_steps=1"], r"schedule.num_warmup_steps=2 \(now 1\)"),
        (["stage.data.transpose=near"], r"stage.data.transpose=all \(now near\)"),
        (["trainer.gradient_clip_val=2"], r"trainer.gradient_clip_val=1.0 \(now 2\)"),
        (["model.dropout=0"], r"model.dropout=0.1 \(now 0\)"),
        (["trainer.precision=bf16-mixed"], r"trainer.precision=32-true \(now bf16-mixed\)"),
        (["stage.module.char_chunk=7"], r"stage.module.char_chunk=\d+ \(now 7\)"),
        (["stage.data.batch_size=1"], r"stage.data.batch_size=2 \(now 1\)"),
        (["stage.data.batch_patches=128"], r"stage.data.batch_patches=null \(now 128\)"),
        (["trainer.accumulate_grad_batches=2"], r"trainer.accumulate_grad_batches=1 \(now 2\)"),
        (["stage.data.where='voices == 4'"], r"stage.data.where=null \(now voices == 4\)"),
        (["stage.data.validation_pieces=2"], r"stage.data.validation_pieces=1000 \(now 2\)"),
        (["trainer.limit_train_batches=2"], r"trainer.limit_train_batches=null \(now 2\)"),
        (["freeze=patch"], r"freeze=null \(now patch\)"),
        (["adapter=lora"], r"adapter=null \(now LoRAConfig\)"),
        (["seed=1"], r"seed=0 \(now 1\)"),
        (["callbacks=[default,ema]"], r"callbacks.ema=null \(now EMAWeightAveraging\)"),
        (["init_from=elsewhere"], r"init_from=null \(now elsewhere\)"),
        (["model.hidden_size=128"], r"model.hidden_size=64 \(now 128\)"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_changes_the_run_is_refused_by_name(begun, run, corpus, changed, said):
    files = {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as refused:
        run("train", *small(corpus, "resume=true", "stage.max_steps=3", *changed))
    sentence = str(refused.value)
    assert re.search(rf"^notagen: {OUT} was begun with {said}", sentence), sentence
    assert sentence.endswith(f"(run=NAME init_from={LAST})")
    assert {path: path.read_bytes() for path in OUT.rglob("*") if path.is_file()} == files


@pytest.fixture(scope="module")
def first(corpus, tmp_path_factory):
    """A folder with a run of two steps."""
    folder = tmp_path_factory.mktemp("first")
    process = start(folder, small(corpus, "stage.max_steps=2", "~callbacks.sample"))
    process.join()
    assert process.exitcode == 0, (folder / "rank-0.log").read_text()
    return folder


@pytest.fixture
def begun(first, run, tmp_path):
    """The same in this test's folder."""
    shutil.copytree(first / "runs", tmp_path / "runs")


def test_what_does_not_change_it_may_be_other(begun, run, corpus):
    run(
        "train",
        *small(corpus, "resume=true", "stage.max_steps=3", "logger=csv"),
        "stage.data.workers=1",
        "trainer.val_check_interval=3",
        "trainer.log_every_n_steps=2",
        "callbacks=default",
        "callbacks.last.every_n_train_steps=1",
        "+stage.export=last",
        "+trainer.limit_val_batches=1",
        "sampling=careful",
    )  # fmt: skip
    assert torch.load(LAST, weights_only=True)["global_step"] == 3
    assert OmegaConf.load(OUT / "config.yaml").trainer.max_steps == 3


def test_a_run_is_made_longer_before_its_decay(run, corpus):
    keys = ("schedule=wsd", "~callbacks.sample")
    run("train", *small(corpus, *keys, "schedule.num_training_steps=10", "stage.max_steps=4"))
    run("train", *small(corpus, *keys, "stage.max_steps=12", "resume=true"))
    run("train", *small(corpus, *keys, "run=whole", "stage.max_steps=12"))
    longer, whole = (
        torch.load(f"runs/{name}/pretrain/checkpoints/last.ckpt", weights_only=True)
        for name in ("default", "whole")
    )
    for name, weight in whole["state_dict"].items():
        torch.testing.assert_close(longer["state_dict"][name], weight, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("schedule", ["wsd", "linear"])
def test_a_run_whose_rate_has_fallen_is_not_made_longer(run, corpus, schedule):
    keys = (f"schedule={schedule}", "~callbacks.sample")
    run("train", *small(corpus, *keys))
    with pytest.raises(SystemExit, match=r"schedule.num_training_steps=4 \(now 6\)"):
        run("train", *small(corpus, *keys, "stage.max_steps=6", "resume=true"))


def test_fewer_steps_than_are_done_are_refused(begun, run, corpus):
    with pytest.raises(SystemExit, match=r"last.ckpt has 2 steps, more than stage.max_steps=1;"):
        run("train", *small(corpus, "resume=true", "stage.max_steps=1"))


def test_weights_whose_checkpoints_are_gone_are_not_replaced(begun, run, corpus):
    LAST.unlink()
    weights = (OUT / "model/model.safetensors").read_bytes()
    with pytest.raises(SystemExit, match=r"model holds weights, and there is no checkpoint"):
        run("train", *small(corpus))
    assert (OUT / "model/model.safetensors").read_bytes() == weights


def test_a_file_of_something_else_is_not_replaced(run, corpus):
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("colour: red\n")
    with pytest.raises(SystemExit, match=r"mine/config.yaml is no training's"):
        run("train", *small(corpus, "out=mine"))
    assert Path("mine/config.yaml").read_text() == "colour: red\n"


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(begun, run, corpus):
    shutil.rmtree(OUT / "model")
    shutil.rmtree(OUT / "checkpoints")
    run("train", *small(corpus, "stage.max_steps=1", "~callbacks.sample"))
    assert LAST.exists()
