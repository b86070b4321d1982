import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from notagen.model import ModelConfig, NotaGen
from notagen.prompts import Prompt, save_known


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "model"
    NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0)).save_pretrained(folder)
    return folder


def test_help_explains_keys_and_choices_without_loading_torch():
    code = "import sys; sys.argv = ['train', '--help', 'model=nano']; import notagen.train as t; "
    code += "t.main(); assert 'torch' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "seed: 0 #" in shown.stdout
    assert "model=large|m3|medium|nano|small|x" in shown.stdout
    assert "patch_layers: 3" in shown.stdout


def test_an_unknown_option_names_the_choices(run):
    with pytest.raises(SystemExit, match=r"model/huge(?s:.*)nano"):
        run("train", "model=huge")


def test_a_typo_is_told_alone_beside_an_experiment(run):
    with pytest.raises(SystemExit) as ended:
        run("train", "experiment=quickstart", "stage.max_step=3")
    assert str(ended.value.code).startswith("notagen: stage has no key max_step; it has ")
    assert "\n" not in str(ended.value.code)


def test_a_multirun_is_asked_for_anywhere(run):
    with pytest.raises(SystemExit, match=r"must be a whole number from 1 on, not two"):
        run("train", "seed=1,2", "-m", "stage.max_steps=two")


def test_what_must_be_given_is_named(run):
    with pytest.raises(SystemExit, match="weights= must be given"):
        run("generate")
    with pytest.raises(SystemExit, match=r"^notagen: form has no key foo"):
        run("generate", "weights=x", "form.foo=3")


def test_generate_keeps_every_piece_and_says_what_became_of_it(run, weights, capfd):
    ask = ("n=2", "out=pieces", "max_patches=40", "form.bars=99", "sampling.align=off")
    with pytest.raises(SystemExit, match="none of the pieces is complete"):
        run("generate", f"weights={weights}", *ask)
    lines = Path("pieces/index.jsonl").read_text().splitlines()
    saved = [json.loads(line) for line in lines]
    assert [piece["name"] for piece in saved] == ["piece-001", "piece-002"]
    for piece in saved:
        assert Path("pieces", piece["name"] + ".txt").exists()
        # Not in 40 patches; the reason is kept and shown.
        assert piece["finish_reason"] == "too long"
    printed = capfd.readouterr().out
    assert "2 pieces in pieces/, none of them a score" in printed
    assert "complete pieces: 0 of 2" in printed


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["weights=nowhere"], "no weights at nowhere"),
        (["formats=[docx]"], "choose from abc, musicxml"),
        (["prompt.period=Baroque"], "prompt.composer, prompt.instrumentation is missing"),
        (["formats=docx"], "format docx is unknown"),
        (["formats=[]"], "formats must be text that is not empty or a list of text"),
        (["n=0"], "n must be a whole number from 1 on, not 0"),
        (["batch_size=0"], "batch_size must be a whole number from 1 on, not 0"),
        (["max_patches=many"], "max_patches must be a whole number from 1 on, not many"),
        (["out=model/config.json"], "is a file; give a folder as out="),
    ],
)
def test_generate_explains_errors(run, weights, overrides, message):
    with pytest.raises(SystemExit, match=message):
        run("generate", f"weights={weights}", *overrides)


def test_pieces_of_an_earlier_run_stay(run, weights):
    ask = (f"weights={weights}", "out=pieces", "max_patches=8", "formats=abc", "n=2")
    for _ in range(2):
        with pytest.raises(SystemExit, match="none of the pieces is complete"):
            run("generate", *ask)
        Path("pieces/piece-0007.pdf").touch()  # of a piece that is in no index
    names = sorted(path.name for path in Path("pieces").glob("*.txt"))
    assert names == [f"piece-00{number}.txt" for number in (1, 2, 8, 9)]
    texts = [Path("pieces", name).read_text() for name in names]
    assert texts[:2] == texts[2:], "the same seed gives the same pieces"
    index = [json.loads(line) for line in Path("pieces/index.jsonl").read_text().splitlines()]
    assert [piece["name"] + ".txt" for piece in index] == names
    assert [(piece["seed"], piece["index"]) for piece in index] == [(0, 0), (0, 1)] * 2


def test_prompts_become_what_patches_can_hold(run, weights):
    save_known([Prompt("Romantic", "Dvorak, Antonin", "Chamber")], weights)
    ask = ("prompt.composer='dvořák, Antonín'", "out=pieces", "max_patches=8", "formats=abc")
    with pytest.raises(SystemExit, match="none of the pieces is complete"):
        run("generate", f"weights={weights}", *ask)
    written = Path("pieces/piece-001.txt").read_text()
    assert written.startswith("%Romantic\n%Dvorak, Antonin\n%Chamber\n")


def test_weights_of_something_else_are_refused(run, tmp_path):
    torch.save({"model": {"layer.weight": torch.zeros(2, 2)}}, tmp_path / "other.pth")
    with pytest.raises(SystemExit, match=r"cannot load weights from .*other\.pth"):
        run("generate", f"weights={tmp_path / 'other.pth'}")


def test_evaluate_prints_bits_beside_a_model_of_counts(run, weights, corpus, capfd):
    run("evaluate", f"weights={weights}", f"corpus.prepared={corpus}", "out=figures.json")
    figures = json.loads(Path("figures.json").read_text())
    bits = figures["bits_per_character"]
    assert 6 < bits < 9, "an untrained model knows little more than log2(128) = 7"
    assert 1 < figures["order_6_bits_per_character"] < 4
    assert f"bits_per_character: {bits}" in capfd.readouterr().out


def test_evaluate_makes_the_folder_of_its_figures(run, weights, corpus):
    known = (f"weights={weights}", f"corpus.prepared={corpus}", "where='bars < 63'")
    run("evaluate", *known, "ngram_order=0", "out=new/figures.json")
    assert "order_0_bits_per_character" in json.loads(Path("new/figures.json").read_text())
    with pytest.raises(
        SystemExit, match="ngram_order must be a whole number from 0 to 100, not -1"
    ):
        run("evaluate", *known, "ngram_order=-1")


def test_the_wheel_holds_the_configuration_and_runs_anywhere(tmp_path):
    project = Path(__file__).parents[1]
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path]
    subprocess.run([*build, project], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    where = "import notagen.config as c; print(c.CONF)"
    shown = subprocess.run(
        [sys.executable, "-c", where],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == str(tmp_path / "site" / "notagen" / "conf")
    shown = subprocess.run(
        [sys.executable, "-m", "notagen.train", "--help"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "stage=" in shown.stdout
