"""Which measurements make up the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks import (
    aligning,
    commands,
    encoding,
    generating,
    peak,
    preferring,
    preparing,
    training,
)
from benchmarks.aligning import Learning
from benchmarks.generating import Writing
from benchmarks.material import size
from benchmarks.preferring import Preferring
from benchmarks.table import Row
from benchmarks.training import Step
from notagen.config import CONF


@dataclass(frozen=True)
class Suite:
    """What is measured.

    Args:
        rounds: of reference and ours in turn, after one to warm up.
        product: width of the matrices whose product is the peak.
        memory: megabytes that are read to know how fast they can be.
        steps: training steps; items of a loader are set beside the first.
        pairs: steps of preference optimisation.
        writings: sizes that write music.
        learnings: models that learn to write bars first.
        chorales: how many are read.
        movement: the score that is read as a quartet movement.
        commands: which are started.
    """

    rounds: int
    product: int
    memory: int
    steps: tuple[Step, ...]
    pairs: tuple[Preferring, ...]
    writings: tuple[Writing, ...]
    learnings: tuple[Learning, ...]
    chorales: int
    movement: str
    commands: Sequence[str]

    def rows(self, threads: int) -> Iterator[Row]:
        """Measure everything, one figure after another."""
        best = peak.flops_per_second(self.product, self.rounds, threads)
        yield Row("matrix product", "GFLOPS", best / 1e9, remark="the peak below")
        rate = peak.bytes_per_second(self.memory, self.rounds)
        yield Row("memory", "GB/s", rate / 1e9, remark="read by one thread")
        first, *others = self.steps
        measured = list(training.rows(first, self.rounds, threads, best))
        yield from measured
        for step in others:
            yield from training.rows(step, self.rounds, threads, best)
        for pair in self.pairs:
            yield from preferring.rows(pair, self.rounds, threads)
        for writing in self.writings:
            yield from generating.rows(writing, self.rounds, threads, rate)
        for learning in self.learnings:
            yield from aligning.rows(learning, self.rounds, threads)
        prepared, scores = preparing.measure(self.chorales, self.movement, self.rounds, threads)
        patch_seconds = measured[0].ours / 1e3 / (first.pieces * first.patches)
        context = first.config.patch_length
        yield from encoding.rows(scores, context, patch_seconds, self.rounds, threads)
        yield from prepared
        yield from commands.rows(self.commands, self.rounds)

    def rows_on(self, device: str) -> Iterator[Row]:
        """Measure only what runs on a GPU in training, there."""
        best = peak.flops_per_second(4 * self.product, self.rounds, threads=1, device=device)
        yield Row("matrix product", "GFLOPS", best / 1e9, remark="the peak below")
        for step in self.steps:
            yield from training.rows(replace(step, device=device), self.rounds, 1, best)
        for pair in self.pairs:
            yield from preferring.rows(replace(pair, device=device), self.rounds, 1)


def suite(*, quick: bool, slow: bool, rounds: int | None = None) -> Suite:
    """The usual measurements; fewer of them and fewer rounds, or also those that take long."""
    nano, small = size("nano"), size("small")
    steps = [
        Step("nano", nano, 4, 512, goals=("2.8", "at most 0.30")),
        Step("nano", nano, 1, 256),
    ]
    pairs = [Preferring("nano", nano, 256, goal="3.0")]
    contexts = {(64, 1): "20", (256, 1): "30", (448, 1): "45", (256, 8): "80", (256, 32): "120"}
    writings = [Writing("nano", nano, contexts, patches=8, whole=32 if quick else 96)]
    if not quick:
        steps.append(Step("small", small, 1, 256, goals=("1.9", "")))
    if slow:
        steps.append(Step("small", small, 1, 1024, goals=("2.0", "")))
        pairs.append(Preferring("small", small, 256, goal="2.4"))
        writings += [
            Writing(
                "small",
                small,
                {(64, 1): "7", (256, 1): "13.5", (256, 8): "60"},
                patches=4,
                rounded={(256, 1): "40", (256, 8): "120"},
            ),
            Writing("small", small, {(1024, 1): "46"}, patches=2),
            Writing("nano", nano, {(256, 1): "", (256, 8): ""}, patches=8, threads=2),
            Writing("small", small, {(256, 1): "", (256, 8): ""}, patches=4, threads=2),
        ]
    return Suite(
        rounds=rounds or (2 if quick else 3),
        product=2048,
        memory=1000,
        steps=tuple(steps),
        pairs=tuple(pairs),
        writings=tuple(writings),
        learnings=() if quick else (Learning("nano", nano, steps=100, patches=256, pieces=8),),
        chorales=12,
        movement="mozart/k458/movement1.mxl",
        commands=sorted(path.stem for path in CONF.glob("*.yaml")),
    )
