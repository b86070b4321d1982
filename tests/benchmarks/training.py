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

from benchmarks import peak
from benchmarks.material import our_model, reference_model, score
from benchmarks.reference import Reference
from benchmarks.sides import Side, Works, alternate
from benchmarks.table import Row, memory, timed
from notagen.model import ModelConfig, NotaGen
from notagen.patches import PAD, PATCH_SIZE, VOCABULARY

CHUNK = 192  # as conf/stage/pretrain.yaml has it


@dataclass(frozen=True)
class Step:
    """A step to measure: so many pieces of so many patches."""

    size: str
    config: ModelConfig
    pieces: int
    patches: int
    goals: tuple[str, str] = ("", "")  # of time and of memory
    device: str = "cpu"

    def __str__(self) -> str:
        return f"train {self.size} {self.pieces}×{self.patches}"

    def batch(self) -> list[Tensor]:
        """Real music, uint8 [patches, 16] a piece."""
        pieces = torch.split(score(self.pieces * self.patches), self.patches)
        return [piece.to(self.device) for piece in pieces]


def rows(step: Step, rounds: int, threads: int, best: float) -> Iterator[Row]:
    """Time, characters a second, memory, and utilisation of the best rate in FLOP/s."""
    with (
        Side(partial(reference, step), threads, step.device) as theirs,
        Side(partial(ours, step), threads, step.device, settled=True) as own,
    ):
        losses = theirs("loss").result, own("loss").result
        exact = 1e-4 if step.device == "cpu" else 1e-2  # half precision there
        assert abs(losses[0] - losses[1]) < exact, f"{step}: losses differ, {losses}"
        measured = alternate((theirs, "step"), (own, "step"), rounds)
    goal, memory_goal = step.goals
    batch = step.batch()
    clock = peak.clock(threads, step.device)
    seconds = [median(reply.cost[clock] for reply in side) for side in zip(*measured, strict=True)]
    characters = sum(int((piece[1:] != PAD).sum()) for piece in batch)
    rates = [characters / value for value in seconds]
    flops = needed_flops(step.config, batch)
    use = [100 * flops / value / best for value in seconds]
    name = str(step)
    yield from timed(name, "ms", measured, goal)
    yield Row(name, "characters/s", rates[1], rates[0], rates[1] / rates[0])
    yield memory(name, measured, memory_goal)
    remark = f"needed FLOPs, beside a matrix product's: at its rate the ratio is {100 / use[0]:.2f}"
    yield Row(name, "% of peak", use[1], use[0], remark=remark)


def ours(step: Step) -> Works:
    """Our model, in chunks, and one fused kernel for the optimizer."""
    model = our_model(step.config).to(step.device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return _learning(model, AdamW(trained, lr=1e-4, fused=True), step, char_chunk=CHUNK)


def reference(step: Step) -> Works:
    """The published formulation and torch's default AdamW."""
    model = reference_model(step.config).to(step.device)
    return _learning(model, AdamW(model.parameters(), lr=1e-4), step)


def _learning(
    model: NotaGen | Reference, optimizer: Optimizer, step: Step, **options: Any
) -> Works:
    batch = step.batch()

    @torch.no_grad()
    def loss() -> float:
        with autocast(step.device):
            return float(model.eval().loss(batch))

    def learn() -> int:
        model.train()
        optimizer.zero_grad()
        with autocast(step.device):
            found = model.loss(batch, **options)
        torch.autograd.backward(found)
        optimizer.step()
        return 1

    return {"loss": loss, "step": learn}


def autocast(device: str) -> torch.autocast:
    """bfloat16 on a GPU, on both sides; float32 on a processor."""
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu")


def needed_flops(config: ModelConfig, batch: Sequence[Tensor]) -> float:
    """Operations of a step on true characters alone.

    Two for each multiplication of a matrix with a vector, causal attention's lower triangle, and
    as much twice again for the gradients; true characters only, and no one-hot product. (Ours does
    with less: the first char block's projections are computed once for each distinct input.)
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
