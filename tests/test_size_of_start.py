"""A stage is as large as the weights it starts from, unless model= says its size."""

from pathlib import Path

import pytest
import yaml

from notagen.config import options
from notagen.model import ModelConfig, NotaGen
from notagen.model.weights import SIZES
from notagen.reward import EncoderConfig, MusicEncoder
from tests.helpers.overrides import small


@pytest.fixture
def nano(tmp_path) -> str:
    sizes = options("model")["nano"]
    folder = tmp_path / "runs/mine/pretrain/model"
    NotaGen(ModelConfig(**{key: sizes[key] for key in SIZES})).save_pretrained(folder)
    return f"init_from={folder}"


def keys(corpus, *more):
    return [*(key for key in small(corpus) if not key.startswith("model")), *more]


def test_the_size_is_that_of_the_weights(run, corpus, nano, capfd):
    run("train", *keys(corpus, "stage=finetune", "run=mine", "stage.max_steps=1", nano))
    assert "nano as those weights, 3,853,056 parameters" in capfd.readouterr().out
    assert NotaGen.from_pretrained("runs/mine/finetune/model").config.patch_layers == 3
    saved = yaml.safe_load(Path("runs/mine/finetune/config.yaml").read_text())
    assert saved["model"]["name"] == "nano"
    assert saved["stage"]["learning_rate"] == 5e-4, "the nano's"
    assert saved["stage"]["data"]["patch_length"] == 512


@pytest.mark.parametrize("given", ["model=small", "model.patch_layers=2", "model=medium"])
def test_a_size_that_was_chosen_is_not_changed(run, corpus, nano, given):
    with pytest.raises(SystemExit, match=r"is of another size .*; choose model=nano"):
        run("train", *keys(corpus, "stage=finetune", "run=mine", given, nano))


def test_sizes_without_a_name_are_asked_for(run, corpus, tmp_path):
    NotaGen(ModelConfig(1, 1, 64, 128)).save_pretrained(tmp_path / "odd")
    with pytest.raises(SystemExit, match=r"is of another size .*; choose the sizes it has"):
        run("train", *keys(corpus, "stage=finetune", "run=mine", "init_from=odd"))


def test_an_encoder_is_no_language_model(run, corpus, tmp_path):
    MusicEncoder(EncoderConfig(1, 64, 8, 64)).save_pretrained(tmp_path / "m3")
    with pytest.raises(SystemExit, match="cannot load weights from m3: it holds another model"):
        run("train", *keys(corpus, "stage=finetune", "run=mine", "init_from=m3"))
