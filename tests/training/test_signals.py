"""Training that is told to stop saves its step, says how to go on, and takes all ranks along."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from notagen.dpo.rollout import read_samples
from notagen.training.signals import StopSignals
from tests.helpers import iterations
from tests.helpers.overrides import small
from tests.helpers.ranks import free_port, scalars, start

STAGE = Path("runs/told/pretrain")
LAST = STAGE / "checkpoints/last.ckpt"
CPUS = (
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "trainer.precision=32-true",
)


def endless(corpus: Path, *more: str) -> Sequence[str]:
    """A checkpoint of every step, and a loader process."""
    keys = [key for key in small(corpus) if "workers" not in key]
    often = ("callbacks.last.every_n_train_steps=1", "trainer.val_check_interval=500")
    return [*keys, "run=told", "stage.max_steps=9999", *often, "~callbacks.sample", *more]


def step_of(last: Path) -> int:
    return torch.load(last, weights_only=True, mmap=True)["global_step"]


@pytest.fixture
def processes() -> Iterator[list]:
    """Those that a test starts; they are ended after it."""
    started = []
    yield started
    for process in started:
        process.kill()


def wait_for(there: Callable[[], bool], processes: Sequence, folder: Path) -> None:
    while all(process.is_alive() for process in processes) and not there():
        time.sleep(0.01)
    logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
    assert all(process.is_alive() for process in processes), logs


def codes(processes: Sequence) -> list[int]:
    for process in processes:
        process.join(60)
    return [process.exitcode for process in processes]


def check_said(printed: str, sentence: str, resume: str | None) -> None:
    """One sentence, at the end, and the command in it."""
    assert "Traceback" not in printed
    [said] = [line for line in printed.splitlines() if line.startswith("notagen:")]
    assert printed.rstrip().endswith(said)
    assert said.startswith(f"notagen: {sentence}")
    if resume is not None:
        command = shlex.split(said.partition("with: ")[2])
        assert command[:3] == ["python", "-m", "notagen.train"]
        assert command[-1] == resume


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_signals_to_the_group_save_the_step_and_say_how_to_resume(
    sent, corpus, tmp_path, processes
):
    """They reach the loader's process, too; one signal or several are the same."""
    processes.append(start(tmp_path, endless(corpus)))
    wait_for((tmp_path / LAST).exists, processes, tmp_path)
    for _ in range(3):
        os.killpg(processes[0].pid, sent)
        time.sleep(0.02)
    assert codes(processes) == [128 + sent]
    at = step_of(tmp_path / LAST)
    assert max(scalars(tmp_path / STAGE, "train/loss")) == at - 1, "the step is whole, and logged"
    check_said((tmp_path / "rank-0.log").read_text(), f"stopped at step {at};", "resume=true")


@pytest.mark.dist
def test_a_signal_to_any_rank_stops_all(corpus, tmp_path, processes):
    port = free_port()
    processes += [start(tmp_path, endless(corpus, *CPUS), rank, 2, port) for rank in range(2)]
    wait_for((tmp_path / LAST).exists, processes, tmp_path)
    os.killpg(processes[1].pid, signal.SIGTERM)
    assert codes(processes) == [143, 143]
    at = step_of(tmp_path / LAST)
    check_said((tmp_path / "rank-0.log").read_text(), f"stopped at step {at};", "resume=true")
    assert (tmp_path / "rank-1.log").read_text() == "", "one rank speaks for both"


def stop_command(command: Sequence[str], folder: Path, stop: Callable[[int], None]) -> tuple:
    """Start a command in a group of its own, stop it after a step; its exit code and output."""
    log = folder / "command.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
        while process.poll() is None and not (folder / LAST).exists():
            time.sleep(0.01)
        stop(process.pid)
        process.wait()
    return process.returncode, log.read_text()


@pytest.mark.dist
def test_ranks_that_a_command_started_stop_together(corpus, tmp_path):
    """Ctrl-C reaches the command's group, in which its ranks are not."""
    command = ("notagen.train", *endless(corpus, *CPUS))
    code, printed = stop_command(command, tmp_path, lambda pid: os.killpg(pid, signal.SIGINT))
    assert code == 130, printed
    at = step_of(tmp_path / LAST)
    assert max(scalars(tmp_path / STAGE, "train/loss")) == at - 1
    check_said(printed, f"stopped at step {at};", "resume=true")
    assert printed.count("train:") == 1, "one rank speaks for both"
    assert "2 x CPUAccelerator" in printed


@pytest.mark.slow
def test_torchrun_stops_its_ranks(corpus, tmp_path):
    """It ends with a traceback of its own; before that, the first rank has spoken."""
    command = ("torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}")
    train = ("-m", "notagen.train", *endless(corpus, *CPUS))
    code, printed = stop_command(
        (*command, *train), tmp_path, lambda pid: os.kill(pid, signal.SIGTERM)
    )
    assert code != 0
    assert f"notagen: stopped at step {step_of(tmp_path / LAST)};" in printed
    assert printed.count("notagen: ") == 1


@pytest.mark.dist
def test_an_iteration_that_is_sampling_stops_at_once_and_keeps_its_pieces(
    corpus, rows, tmp_path, processes
):
    iterations.random_start(tmp_path)
    keys = iterations.overrides(tmp_path, corpus, "one", "stage.samples.per_prompt=9999", *CPUS)
    port = free_port()
    processes += [start(tmp_path, keys, rank, 2, port) for rank in range(2)]
    samples = tmp_path / "runs/one/dpo-1/samples"
    wait_for(lambda: len(read_samples(samples)) > 2, processes, tmp_path)
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
    assert codes(processes) == [143, -signal.SIGTERM]
    assert len(read_samples(samples)) > 2
    check_said((tmp_path / "rank-0.log").read_text(), "stopped; what was done is kept", keys[-1])
    assert (tmp_path / "rank-1.log").read_text() == ""


def test_slurm_is_asked_to_requeue_the_job(corpus, tmp_path, processes):
    """On SIGUSR1, which `sbatch --signal=USR1@120` sends before the time limit."""
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\necho "$@" > asked\n')
    scontrol.chmod(0o755)
    task = {"JOB_ID": "7", "JOB_NAME": "big", "STEP_ID": "0", "NTASKS": "1", "NODEID": "0"}
    slurm = {f"SLURM_{name}": value for name, value in task.items()}
    ours = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    processes.append(start(tmp_path, endless(corpus), environment=slurm | ours))
    wait_for((tmp_path / LAST).exists, processes, tmp_path)
    os.killpg(processes[0].pid, signal.SIGUSR1)
    assert codes(processes) == [128 + signal.SIGUSR1]
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    at = step_of(tmp_path / LAST)
    said = f"stopped at step {at}; job 7 is requeued"
    check_said((tmp_path / "rank-0.log").read_text(), said, None)


def test_a_sample_is_cut_short_and_the_signal_noted():
    signals = StopSignals()
    before = signal.getsignal(signal.SIGTERM)
    signals.listen()
    try:
        with signals.cut_short():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGTERM)  # noted, and no more
        assert signals.number == signal.SIGTERM
    finally:
        signals.forget()
    assert signal.getsignal(signal.SIGTERM) is before
