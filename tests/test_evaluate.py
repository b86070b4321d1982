import json
from pathlib import Path

import pytest
import torch

from notagen.model import ModelConfig, NotaGen
from tests.helpers.overrides import small


def test_each_stage_is_compared_with_its_start_on_its_own_pieces(run, corpus, capfd):
    run("train", *small(corpus, "run=chain"))
    run("train", *small(corpus, "run=chain", "stage=finetune", "stage.data.where='bars < 63'"))
    run("evaluate", "weights=runs/chain")
    pretrain, finetune = json.loads(Path("runs/chain/comparison.json").read_text())
    assert pretrain["before"]["bits_per_character"] > 6, "random weights know nothing"
    assert pretrain["after"]["loss"] < pretrain["before"]["loss"]
    assert finetune["target"] == "chorales: bars < 63, with prompts"
    assert (pretrain["pieces"], finetune["pieces"]) == (3, 2)
    overrides = (f"corpus.prepared={corpus}", "prompts=true", "where='bars < 63'")
    for when, weights in (("before", "pretrain"), ("after", "finetune")):
        run("evaluate", f"weights=runs/chain/{weights}/model", f"out={when}.json", *overrides)
        figures = json.loads(Path(f"{when}.json").read_text())
        for name, value in finetune[when].items():
            assert figures[name] == pytest.approx(value, abs=1e-4)
    assert "finetune" in capfd.readouterr().out
    path = Path("runs/chain/finetune/config.yaml")
    path.write_text(path.read_text().replace(str(corpus), "nowhere"))
    before = Path("runs/chain/comparison.json").read_text()
    with pytest.raises(SystemExit, match="no prepared corpus at nowhere"):
        run("evaluate", "weights=runs/chain")
    assert "%" not in capfd.readouterr().out, "no stage was evaluated"
    assert Path("runs/chain/comparison.json").read_text() == before


def test_a_run_without_stages_is_refused(run):
    Path("runs/nothing").mkdir(parents=True)
    with pytest.raises(SystemExit, match="holds none of pretrain, posttrain, finetune"):
        run("evaluate", "weights=runs/nothing")
    with pytest.raises(SystemExit, match="holds none of pretrain; train"):
        run("evaluate", "weights=runs/nothing", "stages=pretrain")


def test_a_list_of_weights_gives_a_list_of_figures(run, corpus):
    torch.manual_seed(0)
    for name in ("one", "two"):
        NotaGen(ModelConfig(1, 1, 64, patch_length=64)).save_pretrained(name)
    common = (f"corpus.prepared={corpus}", "ngram_order=0")
    run("evaluate", "weights=[one,two]", "out=both.json", *common)
    both = json.loads(Path("both.json").read_text())
    run("evaluate", "weights=two", "out=new/two.json", *common)
    assert [figures["weights"] for figures in both] == ["one", "two"]
    assert json.loads(Path("new/two.json").read_text()) == both[1] != both[0]


def test_weights_that_give_no_finite_loss_are_named(run, corpus):
    model = NotaGen(ModelConfig(1, 1, 64, patch_length=64))
    torch.nn.init.constant_(model.char_decoder.ln_f.weight, torch.nan)
    model.save_pretrained("broken")
    with pytest.raises(SystemExit, match="the loss of these weights on 3 pieces is nan"):
        run("evaluate", "weights=broken", f"corpus.prepared={corpus}", "out=figures.json")
    assert not Path("figures.json").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "weights=nowhere"),
        ("evaluate", "weights=nowhere", "reward=m3"),
        ("probe", "reward.name=nowhere"),
        ("select", "encoder=nowhere", "like='bars > 0'"),
        ("export", "weights=nowhere"),
    ],
)
def test_what_is_there_is_not_written_over(run, corpus, command):
    name, *keys = command
    keys += [] if name == "export" else [f"corpus.prepared={corpus}"]
    mine = Path("mine")
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit, match="mine exists; give another name as out="):
        run(name, *keys, "out=mine")
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    with pytest.raises(SystemExit, match=r"cannot write .*: (Not a directory|File exists)"):
        run(name, *keys, "out=mine/notes.txt/figures")
