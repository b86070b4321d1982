"""A step of DPO-P on one pair of pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import AdamW

from benchmarks.material import our_model, reference_model, score
from benchmarks.sides import Side, Works, alternate
from benchmarks.table import Row, memory, timed
from benchmarks.training import autocast
from notagen.dpo.loss import preference_loss
from notagen.model import ModelConfig

BETA, PENALTY = 0.1, 10.0  # as conf/stage/dpo.yaml has them
RATE = 1e-5
_CHECKED = 2  # steps without dropout; before the first, policy and reference tie


@dataclass(frozen=True)
class Preferring:
    """A step to measure: a pair of pieces of so many patches each."""

    size: str
    config: ModelConfig
    patches: int
    goal: str = ""
    device: str = "cpu"

    def __str__(self) -> str:
        return f"DPO {self.size} 2×{self.patches}"

    def pair(self) -> list[Tensor]:
        """Real music, uint8 [patches, 16] a piece."""
        pieces = torch.split(score(2 * self.patches), self.patches)
        return [piece.to(self.device) for piece in pieces]


def rows(pair: Preferring, rounds: int, threads: int) -> Iterator[Row]:
    """Time and memory; the reference with dropout, as published, and without, as ours."""
    still = replace(pair, config=replace(pair.config, dropout=0.0))
    with Side(partial(ours, pair), threads, pair.device, settled=True) as own:
        with Side(partial(reference, still), threads, pair.device) as theirs:
            losses = theirs("losses").result, own("losses").result
            apart = max(abs(one - other) for one, other in zip(*losses, strict=True))
            assert apart < 1e-3, f"{pair}: losses differ, {losses}"
            without = alternate((theirs, "step"), (own, "step"), rounds)
        with Side(partial(reference, pair), threads, pair.device) as theirs:
            measured = alternate((theirs, "step"), (own, "step"), rounds)
    yield from timed(f"{pair}", "ms", measured, pair.goal, "our stage has no dropout")
    yield memory(f"{pair}", measured)
    yield from timed(f"{pair}, dropout 0", "ms", without)


def ours(pair: Preferring) -> Works:
    """One pass for both pieces, without dropout; what the reference thinks is known."""
    model = our_model(pair.config).to(pair.device).eval()
    optimizer = AdamW(model.parameters(), lr=RATE, fused=True)
    pieces = pair.pair()
    with torch.no_grad(), autocast(pair.device):
        start = model.log_prob(pieces)

    def step() -> Tensor:
        optimizer.zero_grad()
        with autocast(pair.device):
            policy = model.log_prob(pieces)
        found = preference_loss(
            *policy.chunk(2), *start.chunk(2), loss_type="dpop", beta=BETA, dpop_lambda=PENALTY
        )
        loss = found.loss.mean()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()

    return _works(step)


def reference(pair: Preferring) -> Works:
    """Four passes, all with dropout, and two of them back."""
    policy, start = (reference_model(pair.config).to(pair.device) for _ in range(2))
    optimizer = AdamW(policy.parameters(), lr=RATE)
    pieces = pair.pair()

    def step() -> Tensor:
        optimizer.zero_grad()
        with autocast(pair.device):
            chosen, rejected = [-policy([piece]).sum() for piece in pieces]
            with torch.no_grad():
                start_chosen, start_rejected = [-start([piece]).sum() for piece in pieces]
        gained, gained_rejected = chosen - start_chosen, rejected - start_rejected
        loss = -F.logsigmoid(BETA * (gained - gained_rejected - PENALTY * F.relu(-gained)))
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.detach()

    return _works(step)


def _works(step: Callable[[], Tensor]) -> Works:
    def once() -> int:
        step()
        return 1

    return {"step": once, "losses": lambda: [float(step()) for _ in range(_CHECKED)]}
