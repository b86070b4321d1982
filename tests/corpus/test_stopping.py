"""prepare told to stop: one sentence, nothing left running, and the same corpus when it goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.corpus.test_build import contents
from tests.helpers.melodies import abc, melody, write_melodies

READ = 5  # scores, before the signal


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Twenty short scores, and one that takes long enough to be stopped at."""
    folder = tmp_path_factory.mktemp("scores") / "mine"
    write_melodies(folder, range(20))
    (folder / "zzz.abc").write_text(abc(melody(100, bars=700)))
    return folder


def command(scores: Path, out: str) -> list[str]:
    overrides = ["corpus=folder", f"corpus.path={scores}", f"out={out}", "processes=2"]
    return [sys.executable, "-m", "notagen.prepare", *overrides]


@pytest.fixture(scope="module")
def whole(scores, tmp_path_factory):
    """The corpus of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "mine"
    subprocess.run(command(scores, str(out)), check=True, capture_output=True, cwd=out.parent)
    return contents(out)


def running(group: int) -> bool:
    """True while a process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.killpg), (signal.SIGTERM, os.kill)],
    ids=["ctrl-c", "sigterm to the group", "sigterm"],
)
def test_a_stopped_run_says_so_and_goes_on(scores, whole, tmp_path, number, send):
    journal = tmp_path / ".mine.read.jsonl"
    with subprocess.Popen(
        command(scores, "mine"),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=tmp_path, start_new_session=True,
    ) as run:  # fmt: skip
        while not journal.exists() or journal.read_bytes().count(b"\n") < READ:
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.01)
        send(run.pid, number)
        _, printed = run.communicate()
    assert printed == (
        "notagen: stopped; the scores that were read for mine are kept, and the same command goes "
        "on from there\n"
    )
    assert run.returncode == 128 + number
    deadline = time.monotonic() + 60
    while running(run.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(run.pid), "readers are left"
    assert b"crashed" not in journal.read_bytes()
    assert journal.read_bytes().count(b"\n") >= READ
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.lock", ".mine.read.jsonl"]
    subprocess.run(command(scores, "mine"), check=True, capture_output=True, cwd=tmp_path)
    assert contents(tmp_path / "mine") == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mine.lock", "mine"]
