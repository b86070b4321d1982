"""Processes that train together: as many as asked for, one run a folder, none left waiting."""

import csv
import sys
import time
from pathlib import Path

import pytest

from notagen import atomic
from notagen.errors import UserError
from notagen.training import ranks
from notagen.training.signals import is_first_rank
from tests.helpers.overrides import small
from tests.helpers.ranks import free_port, start, train_on_ranks

CPUS = (
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "trainer.precision=32-true",
)
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NAME": "big",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


def put(monkeypatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (TORCHRUN, r"2 processes were started, and trainer.devices=1 .*asks for 1; set"),
        (SLURM, r"2 processes were started, and trainer.devices=1 .*asks for 1; set"),
        (SLURM | {"SLURM_NTASKS": "1"}, None),
        ({"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "big"}, "write srun before the command"),
        ({"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0"}, "--ntasks-per-node=2"),
        ({"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "interactive"}, None),
    ],
)
def test_other_processes_than_devices_are_refused(run, corpus, monkeypatch, variables, message):
    put(monkeypatch, variables)
    dry = small(corpus, "trainer.fast_dev_run=true")
    if message is None:
        run("train", *dry)
        return
    with pytest.raises(SystemExit, match=f"notagen: .*{message}"):
        run("train", *dry)
    assert not list(Path.cwd().iterdir()), "nothing was written"


def test_fewer_tasks_than_devices_are_refused(run, corpus, monkeypatch):
    put(monkeypatch, SLURM | {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1"})
    with pytest.raises(SystemExit, match=r"1 processes were started.*asks for 2"):
        run("train", *small(corpus, *CPUS))


def test_the_first_rank_is_known_from_the_environment(monkeypatch):
    put(monkeypatch, SLURM)
    assert is_first_rank()
    monkeypatch.setenv("SLURM_PROCID", "3")
    assert not is_first_rank()


def test_a_folder_is_written_by_one_run(run, corpus):
    with (
        atomic.locked(Path("runs/default/pretrain")),
        pytest.raises(SystemExit, match=r"another process is writing runs/default/pretrain"),
    ):
        run("train", *small(corpus))
    assert not Path("runs/default/pretrain").exists()
    run("train", *small(corpus, "stage.max_steps=1"))


def test_ranks_of_a_job_by_the_clock_are_refused(run, corpus):
    with pytest.raises(SystemExit, match=r"val_check_interval is a time.*number of batches"):
        run("train", *small(corpus, *CPUS, "trainer.val_check_interval=00:00:15:00"))


@pytest.mark.dist
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_does_not_wait_for_ever_for_others_to_start(corpus, tmp_path, rank):
    soon = ("trainer.strategy.startup_timeout=1.8",)
    process = start(tmp_path, small(corpus, *CPUS, *soon), rank, 2, free_port())
    process.join(60)
    assert process.exitcode == 1
    printed = (tmp_path / f"rank-{rank}.log").read_text()
    assert "Traceback" not in printed
    if rank == 0:  # another says it for this node
        assert "notagen: rank 0 waited 1.8 s for the other ranks of 2" in printed


def of_rank(first: str, second: str) -> list[str]:
    program = (
        f"import os, sys, time\nif os.environ['LOCAL_RANK'] == '0':\n {first}\nelse:\n {second}"
    )
    return [sys.executable, "-c", program]


def test_ranks_that_end_well_end_well():
    assert ranks.run_each(of_rank("pass", "time.sleep(0.1)"), 2) == 0


def test_a_rank_that_is_killed_ends_the_others():
    began = time.monotonic()
    with pytest.raises(UserError, match="rank 1 of 2 was killed by SIGKILL, and the others"):
        ranks.run_each(of_rank("time.sleep(99)", "os.kill(os.getpid(), 9)"), 2)
    assert time.monotonic() - began < 60


def test_an_error_is_not_waited_for_by_a_loader(corpus, tmp_path):
    process = start(tmp_path, small(corpus, "stage.data.workers=1", "optimizer.lr=1e30"))
    process.join(90)
    assert process.exitcode == 1, (tmp_path / "rank-0.log").read_text()


@pytest.mark.dist
def test_a_rank_that_lost_another_says_so(corpus, tmp_path):
    keys, port = small(corpus, *CPUS, "run=lost", "stage.max_steps=9999"), free_port()
    first, second = (start(tmp_path, keys, rank, 2, port) for rank in range(2))
    while (
        second.is_alive() and not (tmp_path / "runs/lost/pretrain/checkpoints/last.ckpt").exists()
    ):
        time.sleep(0.01)
    second.kill()
    first.join(60)
    printed = (tmp_path / "rank-0.log").read_text()
    assert first.exitcode == 1, printed
    assert "Traceback" not in printed
    assert "notagen: another rank has ended" in printed


def test_a_rank_that_fails_gives_the_exit_code():
    """The others have the time to say what they know."""
    assert ranks.run_each(of_rank("time.sleep(1); sys.exit(1)", "sys.exit(3)"), 2) == 3


@pytest.mark.dist
def test_each_job_of_a_multirun_starts_its_own_ranks(run, corpus, capfd):
    run("train", "-m", *small(corpus, "run=swept", "seed=1", "~callbacks.sample", *CPUS))
    [table] = Path("runs/swept/sweeps").glob("*/table.csv")
    [row] = csv.DictReader(table.open())
    assert float(row["val/loss"]) > 0
    assert Path(row["folder"], "model/model.safetensors").exists()
    printed = capfd.readouterr().out
    assert printed.count("train:") == 1
    assert "2 x CPUAccelerator" in printed


@pytest.mark.dist
def test_a_multirun_whose_ranks_others_have_started(corpus, tmp_path):
    keys = small(corpus, "run=swept", "seed=1,2", "stage.max_steps=2", "~callbacks.sample", *CPUS)
    train_on_ranks(tmp_path, ["-m", *keys])
    [table] = (tmp_path / "runs/swept/sweeps").glob("*/table.csv")
    assert sorted(row["seed"] for row in csv.DictReader(table.open())) == ["1", "2"]
    printed = (tmp_path / "rank-1.log").read_text()
    assert "train:" not in printed
    assert "table:" not in printed
