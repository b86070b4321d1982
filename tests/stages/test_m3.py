"""python -m notagen.train stage=m3, and what comes of it."""

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from notagen.reward import load

SMALL = (
    "stage=m3",
    "model.layers=1",
    "model.hidden_size=64",
    "model.decoder_size=64",
    "model.patch_length=32",
    "model.patches_per_step=8",
    "stage.module.contrasts=6",
    "stage.data.batch_size=2",
    "stage.data.workers=0",
    "stage.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
)


def test_an_encoder_is_trained_and_left_for_the_reward(run, corpus, rows, capfd):
    run("train", *SMALL, f"corpus.prepared={corpus}", "run=first")
    out = Path("runs/first/m3")
    encoder = load(out / "model")
    assert encoder.config.hidden_size == 64
    features = encoder.encode([row["text"] for row in rows])
    assert features.shape == (len(rows), encoder.config.feature_size)
    last = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, weight in encoder.state_dict().items():
        fitted = name.startswith("projection.")  # when training has ended
        assert torch.equal(weight, last[f"model.encoder.{name}"]) != fitted, name
    scalars = set(EventAccumulator(str(out)).Reload().Tags()["scalars"])
    assert {"train/loss", "val/loss", "val/bits_per_character"} <= scalars
    assert "m3, 8" in capfd.readouterr().out


@pytest.mark.parametrize("stop", [2, 4])
def test_resume_goes_on_with_the_same_excerpts_and_masks(run, corpus, stop):
    here = (*SMALL, f"corpus.prepared={corpus}", "trainer.val_check_interval=1")
    run("train", *here, "run=whole", "stage.max_steps=5")
    run("train", *here, "run=halves", f"stage.max_steps={stop}")
    run("train", *here, "run=halves", "stage.max_steps=5", "resume=true")
    whole, halves = (load(f"runs/{name}/m3/model").state_dict() for name in ("whole", "halves"))
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name


def test_the_judge_is_another_encoder_in_its_own_folder(run, corpus):
    size = [override for override in SMALL if "hidden_size" not in override]
    run("train", "experiment=judge", *size, f"corpus.prepared={corpus}", "run=both")
    judge = load("runs/both/judge/model")
    assert judge.config.hidden_size == 192
    assert not Path("runs/both/m3").exists()


def test_a_dry_run_keeps_nothing(run, corpus, capfd):
    run("train", *SMALL, f"corpus.prepared={corpus}", "run=dry", "trainer.fast_dev_run=true")
    assert "one step of everything ran" in capfd.readouterr().out
    assert not Path("runs/dry/m3/model").exists()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("init_from=somewhere", "leave out init_from"),
        ("trainer=fsdp", "trainer=ddp"),
        ("model=nano", "leave out model="),
        ("model.feature_size=65", "feature_size=65 is above hidden_size=64"),
    ],
)
def test_what_it_cannot_do_is_said(run, corpus, key, said):
    cpu = ("trainer.accelerator=cpu", "trainer.devices=1") if key == "trainer=fsdp" else ()
    keys = [
        override for override in (*SMALL, *cpu) if key != "model=nano" or "model." not in override
    ]
    with pytest.raises(SystemExit, match=said):
        run("train", *keys, f"corpus.prepared={corpus}", key)


def test_a_projection_that_cannot_be_fitted_is_fitted_again(run, corpus):
    here = (*SMALL, f"corpus.prepared={corpus}", "run=thin", "stage.max_steps=1")
    with pytest.raises(
        SystemExit, match=r"with shrinkage=0.*resume=true with stage.module.shrinkage=0.3"
    ):
        run("train", *here, "stage.module.shrinkage=0", "stage.module.contrasts=1")
    run("train", *here, "stage.module.shrinkage=0.3", "resume=true")
    assert load("runs/thin/m3/model").projection.weight.isfinite().all()


@pytest.mark.slow
def test_it_learns_to_hear_order_and_noise(run):
    run("prepare", "corpus=chorales")
    run("train", "stage=m3", "corpus=chorales", "run=order", "stage.max_steps=600")
    run("probe", "corpus=chorales", "run=order", "columns=[]", "out=probe.json")
    [chorales] = json.loads(Path("probe.json").read_text())
    assert chorales["pieces"] == 43
    assert chorales["below_real"]["shuffled bars"] > 0.8
    assert chorales["below_real"]["shuffled voices"] > 0.8
    assert chorales["below_real"]["noise"] > 0.9
