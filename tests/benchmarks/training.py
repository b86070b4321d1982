"""A training step: loss, gradients, AdamW."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from benchmarks.material import our_model, reference_model, score
from benchmarks.reference import Reference
from benchmarks.sides import Reply, Side, Works, alternate
from benchmarks.table import Row, timed
from notagen.model import ModelConfig, NotaGen
from notagen.patches import PAD, PATCH_SIZE, VOCABULARY

CHUNK = 256  # as conf/stage/pretrain.yaml has it


@dataclass(frozen=True)
class Step:
    """A step to measure: so many pieces of so many patches."""

    size: str
    config: ModelConfig
    pieces: int
    patches: int
    goals: tuple[str, str] = ("", "")  # of time and of memory

    def __str__(self) -> str:
        return f"train {self.size} {self.pieces}×{self.patches}"

    def batch(self) -> list[Tensor]:
        """Real music, uint8 [patches, 16] a piece."""
        return list(score(self.pieces * self.patches).split(self.patches))


def rows(step: Step, rounds: int, threads: int, peak: float) -> Iterator[Row]:
    """Time, characters a second, memory, and utilisation of a peak in FLOP/s."""
    with (
        Side(partial(reference, step), threads) as theirs,
        Side(partial(ours, step), threads, settled=True) as own,
    ):
        losses = theirs("loss").result, own("loss").result
        assert abs(losses[0] - losses[1]) < 1e-4, f"{step}: losses differ, {losses}"
        measured = alternate((theirs, "step"), (own, "step"), rounds)
    goal, memory_goal = step.goals
    batch = step.batch()
    clock = "CPU" if threads == 1 else "wall"
    seconds = [median(reply.cost[clock] for reply in side) for side in zip(*measured, strict=True)]
    characters = sum(int((piece[1:] != PAD).sum()) for piece in batch)
    rates = [characters / value for value in seconds]
    memory = [_megabytes(side) for side in zip(*measured, strict=True)]
    flops = needed_flops(step.config, batch)
    use = [100 * flops / value / peak for value in seconds]
    name = str(step)
    yield from timed(name, "ms", measured, goal)
    yield Row(name, "characters/s", rates[1], rates[0], rates[1] / rates[0])
    yield Row(
        name, "MB", memory[1], memory[0], memory[1] / memory[0], goal=memory_goal,
        remark="peak above the imports; ratio is ours / reference",
    )  # fmt: skip
    yield Row(name, "% of peak", use[1], use[0], remark="needed FLOPs, beside a matrix product's")


def ours(step: Step) -> Works:
    """Our model, in chunks, and one fused kernel for the optimizer."""
    model = our_model(step.config)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return _learning(model, AdamW(trained, lr=1e-4, fused=True), step.batch(), chunk=CHUNK)


def reference(step: Step) -> Works:
    """The published formulation and torch's default AdamW."""
    model = reference_model(step.config)
    return _learning(model, AdamW(model.parameters(), lr=1e-4), step.batch())


def _learning(
    model: NotaGen | Reference, optimizer: Optimizer, batch: Sequence[Tensor], **options: Any
) -> Works:
    @torch.no_grad()
    def loss() -> float:
        return float(model.eval().loss(batch))

    def step() -> int:
        model.train()
        optimizer.zero_grad()
        model.loss(batch, **options).backward()
        optimizer.step()
        return 1

    return {"loss": loss, "step": step}


def needed_flops(config: ModelConfig, batch: Sequence[Tensor]) -> float:
    """Operations of a step that no formulation can do without.

    Two for each multiplication of a matrix with a vector, causal attention's lower triangle, and
    as much twice again for the gradients; true characters only, and no one-hot product.
    """
    hidden = config.hidden_size
    block = 2 * 12 * hidden**2
    patches = [len(piece) - 1 for piece in batch]
    characters = [int(n) for piece in batch for n in (piece[1:] != PAD).sum(1)]
    patch_level = config.patch_layers * (block * sum(patches) + _attention(patches, hidden))
    char_level = config.char_layers * (block * sum(characters) + _attention(characters, hidden))
    head = 2 * hidden * VOCABULARY * sum(characters)
    embedding = PATCH_SIZE * hidden * sum(patches)
    return 3.0 * (patch_level + char_level + head + embedding)


def _attention(lengths: Sequence[int], hidden: int) -> int:
    return sum(2 * hidden * n * (n + 1) for n in lengths)


def _megabytes(replies: Sequence[Reply]) -> float:
    return max(reply.memory for reply in replies) / 1e6
