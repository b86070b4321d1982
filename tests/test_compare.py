import json
from pathlib import Path

import pytest

from tests.helpers.overrides import small


def test_each_stage_is_compared_with_its_start_on_its_own_pieces(run, corpus, capfd):
    run("train", *small(corpus, "run=chain"))
    run("train", *small(corpus, "run=chain", "stage=finetune", "stage.data.where='bars < 63'"))
    run("compare", "run=runs/chain")
    pretrain, finetune = json.loads(Path("runs/chain/comparison.json").read_text())
    assert pretrain["before"]["bits_per_character"] > 6, "random weights know nothing"
    assert pretrain["after"]["loss"] < pretrain["before"]["loss"]
    assert finetune["target"] == "chorales: bars < 63, with prompts"
    assert (pretrain["pieces"], finetune["pieces"]) == (3, 2)
    overrides = (f"corpus.prepared={corpus}", "prompts=true", "where='bars < 63'")
    for when, weights in (("before", "pretrain"), ("after", "finetune")):
        run("evaluate", f"weights=runs/chain/{weights}/model", "out=figures.json", *overrides)
        figures = json.loads(Path("figures.json").read_text())
        for name, value in finetune[when].items():
            assert figures[name] == pytest.approx(value, abs=1e-4)
    assert "finetune" in capfd.readouterr().out


def test_a_run_without_stages_is_said(run):
    with pytest.raises(SystemExit, match="holds none of pretrain, posttrain, finetune"):
        run("compare", "run=runs/nothing")
    with pytest.raises(SystemExit, match="holds none of pretrain; train"):
        run("compare", "run=runs/nothing", "stages=pretrain")
