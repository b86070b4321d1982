"""The recipes of CONTRIBUTING.md, run as they stand there; and a model class of one's own."""

import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch

from notagen.model import ModelConfig, NotaGen, weights
from tests.helpers.iterations import give_samples, overrides, random_start
from tests.helpers.overrides import small

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
RECIPES = {
    match[1]: match[0]
    for match in re.finditer(
        r"^\*\*An? ([\w ]+)\*\*.*?(?=^\*\*|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
}


def blocks(recipe: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", recipe, re.DOTALL)


@pytest.fixture
def follow(run, monkeypatch):
    """Writes the files of a recipe beside our own, and runs its command with further overrides."""

    def follow(name: str, *more: str, leave_out: str = "") -> None:
        recipe = RECIPES[name]
        for block in blocks(recipe, "yaml") + blocks(recipe, "python"):
            file = Path(re.match(r"# (\S+)\n", block)[1])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block)
            if file.suffix == ".py":
                module = ".".join(file.with_suffix("").parts).removeprefix("src.")
                spec = importlib.util.spec_from_file_location(module, file)
                monkeypatch.setitem(sys.modules, module, importlib.util.module_from_spec(spec))
                spec.loader.exec_module(sys.modules[module])
                if module.startswith("notagen."):
                    parent, _, leaf = module.rpartition(".")
                    __import__(parent)
                    monkeypatch.setattr(
                        sys.modules[parent], leaf, sys.modules[module], raising=False
                    )
        [command] = blocks(recipe, "bash")
        _, _, command, *keys = shlex.split(command)
        search = f"hydra.searchpath=[file://{Path('conf').absolute()}]"
        keys = [key for key in keys if key != leave_out]
        run(command.removeprefix("notagen."), *keys, *more, search)

    return follow


def without(prefixes, keys):
    return [key for key in keys if not key.startswith(prefixes)]


def test_every_recipe_is_tried_here():
    assert set(RECIPES) == {"corpus", "model size", "optimizer", "reward", "stage"}


def test_a_corpus(follow, rows):
    Path("scores").mkdir()
    for number, row in enumerate(rows[:3]):
        Path("scores", f"{number}.abc").write_text("X:1\n" + row["text"])
    follow("corpus", "rules.min_bars=2", "rules.validation_fraction=0.5")
    assert Path("datasets/mine/dataset_dict.json").is_file()


def test_a_model_size(follow, corpus):
    follow("model size", *without("model", small(corpus)))
    assert NotaGen.from_pretrained("runs/default/pretrain/model").config.hidden_size == 64


def test_an_optimizer(follow, corpus):
    follow("optimizer", *small(corpus))
    last = torch.load("runs/default/pretrain/checkpoints/last.ckpt", weights_only=True)
    assert "momentum_buffer" in last["optimizer_states"][0]["state"][0]


@pytest.mark.parametrize("given", ["by a file", "on the command line"])
def test_a_reward(follow, corpus, rows, given):
    here = Path.cwd()
    random_start(here)
    give_samples(rows, here / "runs/one/dpo-1")
    keys = without(("reward", "stage=dpo"), overrides(here, corpus, "one"))
    if given == "by a file":
        follow("reward", *keys)
    else:
        [inline] = re.findall(r"`(~reward .*?)`", RECIPES["reward"])
        follow("reward", *keys, *shlex.split(inline), leave_out="reward=notes")
    assert Path("runs/one/dpo-1/report.md").is_file()
    assert Path("runs/one/dpo-1/model").is_dir()
    settings = Path("runs/one/dpo-1/settings.json").read_text()
    assert '"my_reward.Notes"' in settings


def test_a_stage(follow, run, corpus):
    follow("stage", *small(corpus, "trainer.gradient_clip_val=0", "optimizer.lr=0"))
    assert NotaGen.from_pretrained("runs/default/half/model").config.hidden_size == 64
    assert "notagen.stages.half.HalfData" in Path("runs/default/half/config.yaml").read_text()


class Scaled(NotaGen):
    """A backbone of one's own, with one more weight."""

    def __init__(self, config: ModelConfig) -> None:  # from_pretrained goes by the annotation
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, patches, lengths, char_chunk=None):
        return super().forward(patches, lengths, None) * self.scale


def test_a_model_class_of_ones_own_is_trained_and_exported(run, corpus, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_model", sys.modules[__name__])
    run("train", *small(corpus, "model._target_=my_model.Scaled.with_sizes", "optimizer.lr=0.1"))
    last = Path("runs/default/pretrain/checkpoints/last.ckpt")
    loaded = weights.load_checkpoint(last, Scaled)
    assert loaded.scale != 1, "it was trained"
    exported = Scaled.from_pretrained("runs/default/pretrain/model")
    assert exported.scale == weights.load_checkpoint(last.with_name("best.ckpt"), Scaled).scale
