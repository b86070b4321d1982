"""Iterations through the command: what they leave, and what a kill changes (nothing)."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from notagen.dpo.rollout import PromptGroup, SampleJournal, read_samples, write_share
from notagen.model.weights import load
from notagen.patches import encode
from tests.helpers.iterations import GIVEN, PIECES, SHARE, give_samples, overrides, random_start
from tests.helpers.scripted import scripted

ROLES = ("chosen", "rejected")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iteration")
    random_start(folder)
    return folder


def train(*keys: str) -> None:
    from notagen.train import main

    sys.argv = ["notagen.train", *keys]
    main()


def killed_when(condition, keys) -> None:
    """Run the command in a process of its own; kill it, without warning, at a moment."""
    process = multiprocessing.get_context("fork").Process(target=train, args=keys)
    process.start()
    while process.is_alive() and not condition():
        time.sleep(0.01)
    assert process.is_alive(), "it was to be killed before it ended"
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def lines(out: Path) -> int:
    path = out / "samples" / "rank-0.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def whole(folder, corpus, rows):
    """An iteration that nothing disturbed."""
    out = folder / "runs/one/dpo-1"
    give_samples(rows, out)
    train(*overrides(folder, corpus, "one"))
    return out


def test_an_iteration_leaves_its_artifacts(whole):
    table = pq.read_table(whole / "preferences.parquet").to_pylist()
    chosen, rejected = ([row for row in table if row["role"] == role] for role in ROLES)
    assert min(row["score"] for row in chosen) > max(row["score"] for row in rejected)
    scored = {r["number"]: r for r in pq.read_table(whole / "scores.parquet").to_pylist()}
    assert len(scored) == PIECES
    readable = [row for row in scored.values() if row["score"] is not None]
    assert {row["number"] for row in readable} >= set(range(GIVEN))
    assert len(chosen) == len(rejected) == round(SHARE * len(readable))
    assert not any(scored[row["number"]]["excluded"] for row in chosen)
    assert all(scored[number]["longest_run"] >= 4 for number in range(6)), "cut training pieces"
    reference = {
        r["number"]: r["log_prob"] for r in pq.read_table(whole / "reference.parquet").to_pylist()
    }
    policy = load(str(whole.parent / "finetune/model"))
    for row in table:
        [expected] = policy.log_prob([encode(row["text"])[:128]]).tolist()
        assert reference[row["number"]] == pytest.approx(expected, rel=1e-5)
    page = (whole / "report.md").read_text()
    assert page.startswith("| policy ")
    assert "Highest score" in page
    assert load(str(whole / "model")).config.hidden_size == 64


def test_a_complete_iteration_is_not_run_again(whole, folder, corpus, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    train(*overrides(folder, corpus, "one"))
    assert "dpo-1 is complete" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}


def test_killed_in_sampling_scoring_and_training_it_ends_with_the_same(whole, folder, corpus, rows):
    start = (f"init_from={folder}/runs/one/finetune/model",)
    keys = overrides(folder, corpus, "killed", *start)
    out = folder / "runs/killed/dpo-1"
    give_samples(rows, out)
    killed_when(lambda: lines(out) > GIVEN, keys)
    assert lines(out) < PIECES
    with (out / "samples" / "rank-0.jsonl").open("a") as file:
        file.write('[9, "half a li')  # as a kill in the middle of a write leaves it
    killed_when(lambda: lines(out) == PIECES, keys)
    assert not (out / "scores.parquet").exists()
    killed_when((out / "checkpoints/last.ckpt").exists, keys)
    assert not (out / "model").exists()
    train(*keys)
    for name in ("scores", "preferences", "reference"):
        assert pq.read_table(out / f"{name}.parquet").equals(
            pq.read_table(whole / f"{name}.parquet")
        )
    expected, found = (load(str(path / "model")).state_dict() for path in (whole, out))
    for name, weight in expected.items():
        assert torch.equal(weight, found[name]), name


def test_several_iterations_restart_where_they_were(folder, corpus, rows, capsys):
    for number in (1, 2):
        give_samples(rows, folder / f"runs/many/dpo-{number}")
    shutil.copytree(folder / "runs/one/finetune", folder / "runs/many/finetune")
    keys = ("-m", *overrides(folder, corpus, "many"), "iteration=1,2")
    train(*keys)
    second = folder / "runs/many/dpo-2"
    expected = load(str(second / "model")).state_dict()
    for name in ("model", "checkpoints"):
        shutil.rmtree(second / name)
    capsys.readouterr()
    train(*keys)
    printed = capsys.readouterr().out
    assert "dpo-1 is complete" in printed
    assert "pieces by" not in printed, "the second has its pieces, too"
    for name, weight in load(str(second / "model")).state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_evaluate_adds_the_row_of_the_last_policy(whole, folder, corpus, rows, capsys, run):
    out = folder / "runs/one/dpo-2"
    give_samples(rows, out)
    run(
        "evaluate",
        f"weights={whole}/model",
        "reward=m3",
        f"reward.name={folder}/encoder",
        f"judge={folder}/judge",
        f"corpus.prepared={corpus}",
        "iteration=2",
        f"samples.per_prompt={PIECES}",
        "samples.min_real=2",
        "samples.max_patches=24",
        "sampling.align=report",
        f"out={out}",
    )
    assert json.loads((out / "report.json").read_text())["policy"].endswith("dpo-1/model")
    table, _, _ = (out / "report.md").read_text().partition("\n\n")
    assert table.splitlines()[0].split() == ["|", "policy", "|", "finetune", "|", "dpo-1", "|"]
    assert table in capsys.readouterr().out
    assert not (out / "preferences.parquet").exists()
    shutil.rmtree(out)


def test_a_dry_run_keeps_its_pieces_and_no_weights(folder, corpus, rows, capsys):
    out = folder / "runs/dry/dpo-1"
    give_samples(rows, out)
    start = f"init_from={folder}/runs/one/finetune/model"
    train(*overrides(folder, corpus, "dry", start, "trainer.fast_dev_run=true"))
    assert "one step of everything ran" in capsys.readouterr().out
    assert (out / "reference.parquet").exists()
    assert not (out / "checkpoints").exists()
    assert not (out / "model").exists()


def test_an_iteration_without_the_one_before_says_so(whole, folder, corpus):
    with pytest.raises(SystemExit, match=r"dpo-3 starts from other weights.*dpo-2"):
        train(*overrides(folder, corpus, "one", "iteration=3"))


def test_other_settings_are_refused_by_name(whole, folder, corpus):
    (whole.parent / "dpo-2").mkdir(exist_ok=True)
    (whole.parent / "dpo-2/settings.json").write_text((whole / "settings.json").read_text())
    with pytest.raises(SystemExit, match=r"begun with policy=.*finetune.*cannot continue with"):
        train(*overrides(folder, corpus, "one", "iteration=2"))


def test_ranks_share_the_pieces_and_write_the_same_ones(tmp_path):
    from notagen.generation import Sampling

    model = scripted()
    asked = [PromptGroup("", "", [])] * 5
    settings = (Sampling(align="off"), 3, 2, 12)
    journals = [SampleJournal(tmp_path / f"rank-{rank}.jsonl") for rank in range(2)]
    for rank, journal in enumerate(journals):
        share = list(write_share(model, asked, (), journal, *settings, rank, 2))
        assert len(share) == 3 - rank
    alone = SampleJournal(tmp_path / "alone" / "rank-0.jsonl")
    list(write_share(model, asked, {0, 2}, alone, *settings, 0, 1))
    together = read_samples(tmp_path)
    assert [sample.number for sample in together] == [0, 1, 2, 3, 4]
    assert read_samples(tmp_path / "alone") == [together[number] for number in (1, 3, 4)]
