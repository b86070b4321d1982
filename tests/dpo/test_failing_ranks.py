"""What stops one of two ranks stops both, each with a sentence."""

import os
import socket

import pytest
import torch

from notagen.generation import Sampling
from tests.helpers.iterations import give_samples, overrides, random_start
from tests.helpers.ranks import start

pytestmark = pytest.mark.dist

CPUS = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true")


class FailsInScoring:
    """An encoder that can encode one piece, but not several."""

    def encode(self, texts):
        if len(texts) > 1:
            raise RuntimeError("no memory left")
        return torch.ones(len(texts), 2)


class FailsOnSecondRank(Sampling):
    """Settings that one rank can read at first, but not when it samples."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "made", True)

    def __getattribute__(self, name):
        made = "made" in super().__getattribute__("__dict__")
        if made and name == "top_k" and os.environ.get("RANK") == "1":
            raise OSError("a broken disk")
        return super().__getattribute__(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("failing")
    random_start(folder)
    return folder


def logs(folder, overrides) -> list[str]:
    """What two ranks print; both must end, neither well."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [start(folder, overrides, rank, 2, port) for rank in range(2)]
    for process in processes:
        process.join(60)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    found = [(folder / f"rank-{rank}.log").read_text() for rank in range(2)]
    assert None not in codes, "\n".join(found)
    assert 0 not in codes, "\n".join(found)
    return found


def test_the_rank_that_scores(folder, corpus, rows):
    give_samples(rows, folder / "runs/scoring/dpo-1")
    policy = f"init_from={folder}/runs/one/finetune/model"
    own = ("~reward", "+reward={_target_: tests.dpo.test_failing_ranks.FailsInScoring}")
    keys = [
        key
        for key in overrides(folder, corpus, "scoring", *CPUS, *own, policy)
        if not key.startswith("reward.name=")
    ]
    first, second = logs(folder / "scoring", keys)
    assert "RuntimeError: no memory left" in first
    assert "Traceback" not in second


def test_a_rank_that_samples(folder, corpus):
    policy = f"init_from={folder}/runs/one/finetune/model"
    own = "sampling._target_=tests.dpo.test_failing_ranks.FailsOnSecondRank"
    first, second = logs(
        folder / "sampling", overrides(folder, corpus, "sampling", *CPUS, own, policy)
    )
    assert "a broken disk" in second
    assert "notagen: rank 1 stopped: OSError('a broken disk')" in first


def test_what_is_lacking_is_said_once(folder, corpus):
    policy = f"init_from={folder}/runs/one/finetune/model"
    keys = ("stage.samples.per_prompt=1", policy)
    first, second = logs(folder / "lacking", overrides(folder, corpus, "lacking", *CPUS, *keys))
    assert "notagen: 1 pieces for each of 1 prompts make 0 pairs at most" in first
    assert second == ""
