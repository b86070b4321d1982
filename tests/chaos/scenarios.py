"""Commands to interrupt, with what they need and what they leave."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from notagen.data import storage
from tests.helpers import iterations
from tests.helpers.melodies import write_melodies
from tests.helpers.overrides import small
from tests.helpers.scripted import scripted

CPUS = ("trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.devices=2")
STEPS = (
    "stage.max_steps=6",
    "trainer.val_check_interval=3",
    "callbacks.last.every_n_train_steps=2",
)
FORM = ("form.bars=3", "form.voices=2", "form.metre=4/4", "form.key=C")
PIECES = 3


@dataclass(frozen=True)
class Scenario:
    """A command, the same after a fault as before.

    Attributes:
        name: of the scenario.
        argv: the command and its overrides; ``{given}`` is the folder of :func:`give`.
        result: what it leaves in its folder, as plain data.
        ranks: processes that run it.
        before: puts into its folder what is there at the start.
        done: in its sentence where a fault came after all was done, and it is given again.
        faults: to inject.
    """

    name: str
    argv: Sequence[str]
    result: Callable[[Path], Any]
    ranks: int = 1
    before: Callable[[Path, Path], object] = lambda given, folder: None
    done: str = "never"
    faults: int = 20

    def command(self, given: Path) -> list[str]:
        """The command and its overrides, with the folder of :func:`give`."""
        return [word.replace("{given}", str(given)) for word in self.argv]


def give(rows: list[storage.Row], given: Path) -> None:
    """Scores, corpora, weights and encoders that the commands use."""
    write_melodies(given / "scores", range(9))
    (given / "scores" / "broken.musicxml").write_text("<score>")
    splits = {"train": rows[:6], "validation": rows[6:]}
    storage.write(given / "corpus", splits, [], {"pieces": {}, "made_with": {}})
    iterations.random_start(given)
    scripted().save_pretrained(given / "weights")


def weights(folder: Path) -> dict[str, bytes]:
    """Weights of a ``model/`` folder, bit by bit."""
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def trained(stage: str) -> Callable[[Path], Any]:
    """The weights that a run exports, and those it would resume from, if it is one file."""

    def result(folder: Path) -> Any:
        out = folder / "runs/cut" / stage
        last = out / "checkpoints/last.ckpt"
        numbers = None
        if last.is_file():
            checkpoint = torch.load(last, weights_only=True)
            numbers = repr((checkpoint["global_step"], checkpoint["validation"]))  # NaN is NaN
        return weights(out / "model"), numbers

    return result


def prepared(folder: Path) -> Any:
    """Rows and rejections of a prepared corpus."""
    out = folder / "datasets/mine"
    rows = {split: storage.read(out, split).to_list() for split in ("train", "validation")}
    return rows, (out / "rejected.jsonl").read_text()


def written(folder: Path) -> Any:
    """The pieces of an index: the last ones, as many as were asked for."""
    out = folder / "pieces"
    pieces = [json.loads(line) for line in (out / "index.jsonl").read_text().splitlines()]
    texts = [(out / f"{piece['name']}.txt").read_text() for piece in pieces]
    return texts[-PIECES:]


def _prepare(*more: str) -> tuple[str, ...]:
    scores = ("corpus=folder", "corpus.path={given}/scores", "out=datasets/mine")
    return "prepare", *scores, "processes=1", "rules.validation_fraction=0.5", *more


def _train(stage: str, *more: str) -> tuple[str, ...]:
    keys = small(Path("{given}/corpus"), *STEPS, "run=cut", f"stage={stage}", "resume=auto", *more)
    return "train", *keys, "~callbacks.sample"


def _old_corpus(given: Path, folder: Path) -> None:
    shutil.copytree(given / "corpus", folder / "datasets/mine")


def _samples(given: Path, folder: Path) -> None:
    rows = storage.read(given / "corpus", "train").to_list()
    iterations.give_samples(rows, folder / "runs/cut/dpo-1")


def _m3() -> tuple[str, ...]:
    keys = [key for key in _train("m3") if not key.startswith(("model", "stage.data"))]
    sizes = ("model.layers=1", "model.hidden_size=64", "model.patch_length=64")
    return *keys, *sizes, "stage.data.workers=0", "stage.data.batch_size=2"


def _dpo() -> tuple[str, ...]:
    keys = iterations.overrides(Path("{given}"), Path("{given}/corpus"), "cut", *STEPS)
    keys = [key for key in keys if not key.startswith(("out=", "trainer.val_check"))]
    start = "init_from={given}/runs/one/finetune/model"
    return (
        "train",
        *keys,
        "run=cut",
        start,
        "resume=auto",
        "iteration=1",
        "trainer.val_check_interval=3",
    )


SCENARIOS = [
    Scenario("prepare", _prepare(), prepared),
    Scenario("prepare-overwrite", _prepare("overwrite=true"), prepared, before=_old_corpus),
    Scenario("pretrain", _train("pretrain"), trained("pretrain")),
    Scenario(
        "muon-worker",
        _train("pretrain", "optimizer=muon", "stage.data.workers=1"),
        trained("pretrain"),
    ),
    Scenario("ddp", _train("pretrain", "trainer=ddp", *CPUS), trained("pretrain"), ranks=2),
    Scenario(
        "fsdp",
        _train(
            "pretrain", "trainer=fsdp", *CPUS, "trainer.strategy.save_distributed_checkpoint=true"
        ),
        trained("pretrain"),
        ranks=2,
    ),
    Scenario("m3", _m3(), trained("m3")),
    Scenario("dpo", _dpo(), trained("dpo-1"), before=_samples, faults=30),
    Scenario(
        "generate",
        ("generate", "weights={given}/weights", f"n={PIECES}", "batch_size=1", "out=pieces", *FORM),
        written,
    ),
    Scenario(
        "evaluate",
        (
            "evaluate",
            "weights={given}/weights",
            "corpus.prepared={given}/corpus",
            "out=figures.json",
        ),
        lambda folder: json.loads((folder / "figures.json").read_text()),
        done="exists",
        faults=10,
    ),
    Scenario(
        "export",
        ("export", "weights={given}/weights", "out=model"),
        lambda folder: weights(folder / "model"),
        done="exists",
        faults=10,
    ),
]
