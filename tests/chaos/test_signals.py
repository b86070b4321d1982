"""Signals to the whole process group of a command, at any moment, from its first import on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.scenarios import SCENARIOS, Scenario, give

pytestmark = pytest.mark.chaos

PATIENCE = 120  # seconds
ENDS_WITHIN = 30  # seconds after a signal; 10 on an idle machine
MOMENTS = 6  # for each command and signal
NAMES = ("prepare", "muon-worker", "dpo", "generate", "evaluate", "spawned-ranks")
RANKS = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.devices=2")
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
BY_NAME["spawned-ranks"] = Scenario(  # the command starts its second rank itself
    "spawned-ranks", (*BY_NAME["pretrain"].argv, *RANKS), BY_NAME["pretrain"].result
)


@pytest.fixture(scope="session")
def given(rows, tmp_path_factory) -> Path:
    """What the commands use, made once."""
    folder = tmp_path_factory.mktemp("given")
    give(rows, folder)
    return folder


def start(argv: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """A command in a session of its own, its output in ``log``."""
    command, *overrides = argv
    port = 20_000 + os.getpid() % 10_000  # below those that the system gives to other sockets
    environment = {**os.environ, "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    environment.pop("LD_PRELOAD", None)
    return subprocess.Popen(
        [sys.executable, "-m", f"notagen.{command}", *overrides],
        cwd=folder,
        stdout=(folder.parent / "log").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env=environment,
    )


@pytest.fixture(scope="session")
def undisturbed(given, tmp_path_factory):
    """Runs a command without a signal, once; its result and the seconds it took."""
    known = {}

    def run_once(scenario: Scenario):
        if scenario.name not in known:
            folder = tmp_path_factory.mktemp(scenario.name) / "work"
            folder.mkdir()
            scenario.before(given, folder)
            began = time.monotonic()
            process = start(scenario.command(given), folder)
            code = process.wait(PATIENCE)
            assert code == 0, (folder.parent / "log").read_text()
            known[scenario.name] = scenario.result(folder), time.monotonic() - began
        return known[scenario.name]

    return run_once


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in NAMES]
)
def test_a_command_stops_and_ends_as_if_undisturbed(
    name, sent, moment, given, undisturbed, tmp_path
):
    scenario = BY_NAME[name]
    expected, seconds = undisturbed(scenario)
    folder = tmp_path / "work"
    folder.mkdir()
    scenario.before(given, folder)
    argv = scenario.command(given)
    process = start(argv, folder)
    time.sleep(0.3 + seconds * moment / MOMENTS)  # Python itself has to be there
    os.killpg(process.pid, sent)
    code = process.wait(ENDS_WITHIN)
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said, said
    assert code in (0, 128 + sent, -sent), said  # -sent: before the first line of ours
    if code:
        assert said.count("notagen: ") == (code > 0), said
        again = start(argv, folder).wait(PATIENCE)
        text = (tmp_path / "log").read_text()
        assert again == 0 or scenario.done in text, text
    assert scenario.result(folder) == expected, said
    shutil.rmtree(folder)
