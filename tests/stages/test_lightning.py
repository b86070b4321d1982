"""Stages and their data as any Lightning user would use them."""

import json
from pathlib import Path

import lightning as L
import pytest
import torch

from notagen.data import storage
from notagen.errors import UserError
from notagen.model import NotaGen
from notagen.stages.dpo import DPO
from notagen.stages.finetune import Finetune, FinetuneData
from notagen.stages.m3 import M3Stage
from notagen.stages.posttrain import Posttrain
from notagen.stages.pretrain import Pretrain, PretrainData
from tests.helpers.iterations import give_samples, overrides, random_start
from tests.helpers.overrides import small

LAST = "checkpoints/last.ckpt"


def trainer(**keys) -> L.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return L.Trainer(accelerator="cpu", devices=1, enable_checkpointing=False, **quiet, **keys)


@pytest.fixture(scope="module")
def split_corpus(rows, tmp_path_factory):
    """A prepared corpus with a test split."""
    path = tmp_path_factory.mktemp("datasets") / "split"
    splits = {"train": rows[:4], "validation": rows[4:6], "test": rows[6:]}
    storage.write(path, splits, [], {"pieces": 9})
    return path


@pytest.mark.parametrize(
    ("stage", "kind", "more"),
    [
        ("pretrain", Pretrain, ("optimizer=muon",)),
        ("posttrain", Posttrain, ("init_from=start",)),
        ("finetune", Finetune, ("init_from=start", "adapter=lora")),
    ],
)
def test_a_language_model_is_loaded_from_its_checkpoint(run, corpus, stage, kind, more):
    sizes = {"patch_layers": 1, "char_layers": 1, "hidden_size": 64, "patch_length": 128}
    NotaGen.with_sizes(**sizes).save_pretrained("start")
    run("train", *small(corpus, f"stage={stage}", "stage.module.char_chunk=7", *more))
    path = f"runs/default/{stage}/{LAST}"
    loaded = kind.load_from_checkpoint(path)
    assert not loaded.training
    assert loaded.char_chunk == 7
    states = torch.load(path, weights_only=True)["state_dict"]
    assert loaded.state_dict().keys() == states.keys()
    assert all(torch.equal(weight, states[name]) for name, weight in loaded.state_dict().items())
    assert kind.load_from_checkpoint(path, char_chunk=None).char_chunk is None


def test_an_encoder_is_loaded_from_its_checkpoint(run, corpus):
    size = ("model.layers=1", "model.hidden_size=64", "model.decoder_size=64")
    data = (f"corpus.prepared={corpus}", "stage.data.batch_size=2", "stage.data.workers=0")
    run("train", "stage=m3", *size, *data, "stage.max_steps=1", "stage.module.contrasts=6")
    loaded = M3Stage.load_from_checkpoint(f"runs/default/m3/{LAST}")
    assert loaded.contrasts == 6
    assert loaded.model.sizes["decoder_size"] == 64


def test_a_policy_is_loaded_from_its_checkpoint(run, corpus, rows):
    here = Path.cwd()
    random_start(here)
    give_samples(rows, here / "runs/one/dpo-1")
    run("train", *overrides(here, corpus, "one", "stage.module.beta=0.25"))
    loaded = DPO.load_from_checkpoint(here / "runs/one/dpo-1" / LAST)
    assert loaded.beta == 0.25
    assert loaded.loss_type == "dpop"


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"other\.ckpt"):
        Pretrain.load_from_checkpoint(tmp_path / "other.ckpt")


def data(kind, path):
    return kind(str(path), 128, batch_size=2, transpose="original", workers=0, seed=0)


def test_validate_test_and_predict_by_the_trainer(split_corpus):
    torch.manual_seed(0)
    sizes = {"patch_layers": 1, "char_layers": 1, "hidden_size": 64, "patch_length": 128}
    stage = Finetune(NotaGen.with_sizes(**sizes))
    module = data(FinetuneData, split_corpus)
    [validated] = trainer().validate(stage, module, verbose=False)
    [tested] = trainer().test(stage, module, verbose=False)
    assert validated.keys() == {"val/loss", "val/bits_per_character"}
    assert tested.keys() == {"test/loss", "test/bits_per_character"}
    assert 4 < validated["val/loss"] < 6
    assert tested["test/loss"] != validated["val/loss"], "other pieces"
    log_probs = torch.cat(trainer().predict(stage, module))
    assert log_probs.shape == (2,), "one for each validation piece"
    batch = next(iter(module.predict_dataloader()))
    nll = stage.eval()(batch)
    assert nll.shape == batch.patches.shape
    assert -nll.sum().item() == pytest.approx(log_probs.sum().item(), rel=1e-4)


def test_a_corpus_without_a_test_split_says_so(corpus):
    sizes = {"patch_layers": 1, "char_layers": 1, "hidden_size": 64, "patch_length": 128}
    with pytest.raises(UserError, match="test"):
        trainer().test(Pretrain(NotaGen.with_sizes(**sizes)), data(PretrainData, corpus))


def exported(run: str) -> dict[str, torch.Tensor]:
    return NotaGen.from_pretrained(f"runs/{run}/pretrain/model").state_dict()


def test_averaged_weights_are_validated_and_exported(run, corpus):
    steps = ("callbacks.ema.decay=0.5", "trainer.val_check_interval=2")
    run("train", *small(corpus, "run=plain"))
    run("train", *small(corpus, "run=ema", "callbacks=[default,ema]", *steps))
    checkpoint = torch.load("runs/ema/pretrain/checkpoints/last.ckpt", weights_only=True)
    current = checkpoint["current_model_state"]
    name = "patch_decoder.wpe.weight"
    plain, averaged = exported("plain")[name], exported("ema")[name]
    torch.testing.assert_close(current[f"model.{name}"], plain, rtol=0, atol=1e-6)
    assert not torch.allclose(averaged, plain, rtol=0, atol=1e-6)


def test_averaging_goes_on_where_it_was_stopped(run, corpus):
    keys = ("callbacks=[default,ema]", "callbacks.ema.decay=0.5", "trainer.val_check_interval=1")
    run("train", *small(corpus, "run=whole", *keys))
    run("train", *small(corpus, "run=halves", *keys, "stage.max_steps=2"))
    run("train", *small(corpus, "run=halves", *keys, "resume=true"))
    for name, weight in exported("whole").items():
        torch.testing.assert_close(exported("halves")[name], weight, rtol=0, atol=1e-6, msg=name)


def test_training_stops_when_validation_does_not_get_better(run, corpus, capfd):
    still = ("optimizer.lr=0.0", "optimizer.weight_decay=0.0", "trainer.val_check_interval=1")
    patience = "callbacks.early_stopping.patience=2"
    stopping = ("callbacks=[default,early_stopping]", patience, "stage.max_steps=50")
    run("train", *small(corpus, *still, *stopping))
    assert "step 3/50" in capfd.readouterr().out
    assert torch.load(f"runs/default/pretrain/{LAST}", weights_only=True)["global_step"] == 3


def test_a_callback_is_switched_off_by_null(run, corpus):
    off = ("callbacks.sample=null", "callbacks.checkpoint=null", "callbacks.memory=null")
    assert run("train", *small(corpus, *off)) is None
    assert not Path("runs/default/pretrain/checkpoints/best.ckpt").exists()
    assert Path("runs/default/pretrain/model").is_dir(), "the last weights stand in for the best"


@pytest.mark.parametrize("option", ["limit", "profiler", "overfit"])
def test_debug_options_train(run, corpus, option):
    keys = [key for key in small(corpus) if not key.startswith(("stage.max", "trainer."))]
    more = ("stage.max_steps=60",) if option == "overfit" else ()
    run("train", *keys, f"debug={option}", "optimizer.lr=0.003", *more)
    out = Path("runs/default/pretrain")
    assert (out / "model").is_dir()
    if option == "profiler":
        [table] = out.glob("*profile*")
        assert "run_training_batch" in table.read_text()
    saved = json.loads((out / "model/config.json").read_text())
    assert saved["dropout"] == (0.0 if option == "overfit" else 0.1)
