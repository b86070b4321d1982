"""``make time-to-loss``: minutes of training until a nano knows chorales so well, by settings."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
from hydra import compose, initialize_config_dir

from benchmarks.sides import Side, Works
from notagen.config import CONF, build, quiet

PUBLISHED = "published"
PRESETS = {
    PUBLISHED: ("optimizer=adamw", "schedule=constant", "schedule.num_warmup_steps=0",
                "stage.learning_rate=1e-4", "stage.max_steps=1000000"),
    "adamw": ("optimizer=adamw",),
    "muon": (),
}  # fmt: skip
"""Overrides of the quickstart, whose settings are the last; the music and its order are its own."""


@dataclass(frozen=True)
class Run:
    """How one run went.

    Attributes:
        preset: its settings.
        seed: of weights, order and keys.
        reached: whether it knew the music well enough in time.
        bits: per character of the validation pieces, at the end.
        steps: of the optimizer.
        wall, cpu: minutes of training, validation left out; the second of all threads together.
    """

    preset: str
    seed: int
    reached: bool
    bits: float
    steps: int
    wall: float
    cpu: float


class Stopwatch(L.Callback):
    """Ends a run at a validation: at ``bits``, or after ``minutes`` of processor time."""

    def __init__(self, bits: float, minutes: float) -> None:
        self.target = bits
        self.minutes = minutes
        self.bits = float("inf")
        self.wall = self.cpu = 0.0

    def on_train_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Start the clocks."""
        self._started = time.perf_counter(), time.process_time()

    def on_validation_start(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Stop them for as long as it takes."""
        wall, cpu = self._started
        self.wall += (time.perf_counter() - wall) / 60
        self.cpu += (time.process_time() - cpu) / 60

    def on_validation_end(self, trainer: L.Trainer, stage: L.LightningModule) -> None:
        """Judge, and start them again."""
        self.bits = float(trainer.callback_metrics["val/bits_per_character"])
        trainer.should_stop = self.bits <= self.target or self.cpu >= self.minutes
        self.on_train_start(trainer, stage)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make time-to-loss", description=__doc__)
    parser.add_argument("--bits", type=float, default=1.0, help="a character, to be reached")
    parser.add_argument("--minutes", type=float, default=30.0, help="of processor, each run")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each preset")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--corpus", type=Path, default=Path("datasets/chorales"))
    parser.add_argument("--every", type=int, default=25, help="steps between two validations")
    parser.add_argument("--out", type=Path, default=Path("runs/time_to_loss.json"))
    options = parser.parse_args()
    runs = []
    for seed in range(options.seeds):
        for preset in options.presets:
            overrides = (
                *PRESETS[preset],
                f"seed={seed}",
                f"corpus.prepared={options.corpus.resolve()}",
                f"trainer.val_check_interval={options.every}",
                "stage.data.workers=0",  # a side cannot have processes of its own
            )
            make = partial(works, overrides, options.bits, options.minutes)
            with Side(make, options.threads, settled=True) as side:
                runs.append(Run(preset, seed, **side("train").result))
            print(sentence(runs[-1]), flush=True)
    print("\n".join(table(runs, options.minutes)))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    settings = {"bits": options.bits, "minutes": options.minutes, "threads": options.threads}
    found = {**settings, "runs": [asdict(run) for run in runs]}
    options.out.write_text(json.dumps(found, indent=2) + "\n")


def works(overrides: Sequence[str], bits: float, minutes: float) -> Works:
    """A training run as ``notagen.train`` makes it, without checkpoints, curves and samples."""
    quiet()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", ["experiment=quickstart", *overrides])

    def train() -> dict[str, Any]:
        L.seed_everything(config.seed, verbose=False)
        model = build(config.model, "name")
        optimizer, schedule = build(config.optimizer), build(config.schedule)
        stage = build(config.stage.module, model=model, optimizer=optimizer, schedule=schedule)
        watch = Stopwatch(bits, minutes)
        trainer = build(
            config.trainer,
            callbacks=[watch],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        trainer.fit(stage, build(config.stage.data))
        return {
            "reached": watch.bits <= bits,
            "bits": watch.bits,
            "steps": trainer.global_step,
            "wall": watch.wall,
            "cpu": watch.cpu,
        }

    return {"train": train}


def sentence(run: Run) -> str:
    """What came of one run."""
    verb = "reached" if run.reached else "only reached"
    return (
        f"{run.preset}, seed {run.seed}: {verb} {run.bits:.3f} bits a character in "
        f"{run.wall:.2f} minutes ({run.cpu:.2f} of processor time), {run.steps} steps"
    )


def table(runs: Sequence[Run], minutes: float) -> Iterator[str]:
    """A line a preset: medians over its seeds, and how much less processor time it takes."""
    yield f"{'preset':12}{'wall min':>10}{'CPU min':>10}{'steps':>8}{'published / it':>16}"
    by_preset: dict[str, list[Run]] = {}
    for run in runs:
        by_preset.setdefault(run.preset, []).append(run)
    published = by_preset.get(PUBLISHED, [])
    for preset, own in by_preset.items():
        missed = sum(not run.reached for run in own)
        if missed:
            yield f"{preset:12}not reached in {minutes:g} CPU minutes by {missed} of {len(own)}"
            continue
        wall, cpu, steps = (
            median(getattr(run, name) for run in own) for name in ("wall", "cpu", "steps")
        )
        ratio = ""
        if published:
            at_least = "" if all(run.reached for run in published) else "at least "
            ratio = f"{at_least}{median(run.cpu for run in published) / cpu:.1f}"
        yield f"{preset:12}{wall:10.2f}{cpu:10.2f}{steps:8.0f}{ratio:>16}"


if __name__ == "__main__":
    main()
