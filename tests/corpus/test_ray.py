"""A Ray cluster of two workers on this machine. ``make test-scale`` installs Ray and runs it."""

import os
import sys
import time
from pathlib import Path

import pytest

from notagen.corpus.build import prepare
from notagen.corpus.engines import local, on_ray
from notagen.corpus.reader import Reader
from notagen.corpus.selection import Rules
from notagen.corpus.sources import folder
from notagen.corpus.workers import Failure, Limits
from notagen.data import storage
from tests.corpus.test_guards import BOMB
from tests.corpus.test_workers import misbehave
from tests.helpers.melodies import abc, melody, musicxml, write_melodies

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="pip install 'notagen[scale]'")
pytestmark = pytest.mark.dist


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A head that reads nothing, and two workers of one core."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers import this file
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()


def worker(_: object) -> str:
    """Which of the cluster's workers this runs on."""
    time.sleep(0.05)
    return os.environ["RAY_RAYLET_PID"]


def files_of(out: Path) -> dict[str, bytes]:
    """A corpus by its files, but for those in which ``datasets`` notes a random fingerprint."""
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: file.read_bytes() for name, file in files.items() if "state.json" not in name}


def test_all_workers_read():
    assert len({result for _, result in on_ray(worker, list(range(64)), None, Limits())}) == 2


def test_the_corpus_is_the_same_as_from_one_machine(tmp_path):
    scores = tmp_path / "scores"
    write_melodies(scores, range(60))
    (scores / "short.abc").write_text(abc(melody(100, bars=7)))
    (scores / "again.musicxml").write_text(musicxml(3, "Gb"))
    (scores / "bomb.xml").write_text(BOMB)
    (scores / "cut.mxl").write_bytes(b"PK\3\4 and no more")
    limits = Limits(60, 4_000_000_000)
    for engine in (local, on_ray):
        out = tmp_path / engine.__name__ / "corpus"
        rules = Rules(validation_fraction=0.3)
        prepare(folder(str(scores)), out, rules, Reader(), limits, engine=engine)
    ours, theirs = tmp_path / "local/corpus", tmp_path / "on_ray/corpus"
    assert len((theirs / "rejected.jsonl").read_text().splitlines()) == 4
    assert files_of(theirs) == files_of(ours)
    for split in ("train", "validation"):
        rows = list(storage.read(theirs, split))
        assert rows == list(storage.read(ours, split))
        assert len(rows) > 5


def test_limits_hold_on_every_worker():
    jobs = ["a", "crash", "b", "hang", "c", "eat"]
    results = dict(on_ray(misbehave, jobs, None, Limits(2, 8_000_000_000)))
    assert [results[job] for job in "abc"] == ["A", "B", "C"]
    assert results["hang"] == Failure("too slow: not read within 2 seconds")
    assert results["crash"].reason.startswith("crashed: its reader ended with exit code -6")
    assert results["eat"] == "too much"
