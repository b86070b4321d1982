import json
from pathlib import Path

import pytest
import torch

from notagen.model import NotaGen, weights
from tests.helpers.overrides import small


@pytest.fixture
def trained(run, corpus) -> Path:
    """A fine-tuned run with adapters, from random weights."""
    run("train", *small(corpus, "run=first"))
    adapted = ("stage=finetune", "run=first", "adapter=lora", "adapter.rank=2", "seed=1")
    run("train", *small(corpus, *adapted, "optimizer.lr=0.01", "schedule.num_warmup_steps=0"))
    return Path("runs/first/finetune")


def states(path) -> dict[str, torch.Tensor]:
    return weights.load(str(path)).state_dict()


def test_adapters_are_merged_and_every_form_holds_the_same_weights(trained, run, corpus, capfd):
    best = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    adapters = sum("lora" in name for name in best["state_dict"])
    assert adapters == 2 * 4 * 2, "two blocks, four layers each, a pair of matrices"
    start = states("runs/first/pretrain/model")
    for name, weight in best["state_dict"].items():
        if "lora" not in name:
            plain = name.removeprefix("model.").replace("base_layer.", "")
            assert torch.equal(weight, start[plain]), f"{name} is frozen"
    optimized = best["optimizer_states"][0]["state"]
    assert len(optimized) == adapters

    run("export", f"weights={trained}/checkpoints/best.ckpt", "out=ours.pth")
    run("export", "weights=ours.pth", "out=again")
    run("export", f"weights={trained}/model", "out=copied")
    assert set(torch.load("ours.pth", weights_only=True)) == {"model"}
    merged = states(trained / "model")
    assert set(merged) == set(start)
    assert any(not torch.equal(weight, start[name]) for name, weight in merged.items())
    for other in ("ours.pth", "again", "copied", trained / "checkpoints" / "best.ckpt"):
        for name, weight in states(other).items():
            assert torch.equal(weight, merged[name]), (other, name)
    assert json.loads(Path("copied/prompts.json").read_text())
    assert isinstance(NotaGen.from_pretrained("again"), NotaGen)
    with pytest.raises(SystemExit, match=r"ours\.pth exists"):
        run("export", f"weights={trained}/model", "out=ours.pth")


def test_adapters_resume(run, corpus):
    """Two steps and two more end in the adapters of four steps."""
    lora = ("adapter=lora", "trainer.val_check_interval=1", "schedule.num_warmup_steps=0")
    run("train", *small(corpus, *lora, "run=whole"))
    run("train", *small(corpus, *lora, "run=halves", "stage.max_steps=2"))
    run("train", *small(corpus, *lora, "run=halves", "resume=true"))
    whole, halves = (
        torch.load(f"runs/{name}/pretrain/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "halves")
    )
    assert any("lora" in name for name in whole)
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name


def test_frozen_levels_stay(run, corpus):
    run("train", *small(corpus, "run=first"))
    run("train", *small(corpus, "stage=finetune", "run=first", "freeze=patch"))
    before, after = states("runs/first/pretrain/model"), states("runs/first/finetune/model")
    for name, weight in before.items():
        kept = torch.equal(weight, after[name])
        assert kept == name.startswith("patch_decoder."), name
    with pytest.raises(SystemExit, match="freeze must be patch, char or null"):
        run("train", *small(corpus, "run=other", "freeze=all"))
