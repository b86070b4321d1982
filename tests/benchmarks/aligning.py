"""Cost of align=enforce and of int8, with a trained model.

Random weights generate no bars, so a model first learns one chorale by heart, in a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final, NamedTuple

import torch
from torch.optim import AdamW

from benchmarks.generating import divergence, header
from benchmarks.material import our_model, texts
from benchmarks.sides import Side, Works
from benchmarks.table import Row
from notagen.generation import GeneratedPiece, Sampling, generate
from notagen.generation.sampling import Align
from notagen.model import ModelConfig, NotaGen
from notagen.patches import PAD, encode

_ALIGN: Final[tuple[Align, ...]] = ("off", "enforce")


@dataclass(frozen=True)
class Learning:
    """A model that is trained and then writes.

    Args:
        size: its name.
        config: its sizes.
        steps: of training on the chorale.
        patches: how long it is, and pieces may become, at most.
        pieces: written a round.
    """

    size: str
    config: ModelConfig
    steps: int
    patches: int
    pieces: int


class Sum(NamedTuple):
    """Sums of the statistics of a round's pieces."""

    kept: int
    drawn: int
    misaligned: int


def rows(learning: Learning, rounds: int, threads: int) -> Iterator[Row]:
    """Time and likelihood with `align=off` and `align=enforce`, and the divergence of int8."""
    with Side(partial(works, learning), threads) as side:
        cost = {}
        for align in _ALIGN:
            replies = [side(align) for _ in range(1 + rounds)][1:]
            total: Sum = replies[0].result
            cost[align] = 1e3 * median(reply.cpu for reply in replies) / total.kept
            name = f"generate() {learning.size}, align={align}"
            drawn = f"{total.drawn / total.kept:.2f} patches sampled for each kept"
            slower = f"; {cost[align] / cost['off']:.2f} times align=off" if align != "off" else ""
            yield Row(name, "CPU ms a patch", cost[align], remark=drawn + slower)
            bits = side(f"{align}, bits").result
            yield Row(name, "bits a character", bits, remark="that the model needs for it")
        broken = side("report").result.misaligned
        remark = f"of {learning.pieces} pieces of up to {learning.patches} patches"
        yield Row(
            f"generate() {learning.size}, align=off", "bars misaligned", broken, remark=remark
        )
        name = f"write {learning.size}, int8"
        yield Row(
            name, "nats a character", side("divergence").result,
            goal="at most 1e-3", remark="KL to float32, after training",
        )  # fmt: skip


def works(learning: Learning) -> Works:
    """Train, once, and write as often as asked."""
    model = _trained(learning)

    def write(align: Align) -> list[GeneratedPiece]:
        prompts = [header()] * learning.pieces
        sampling = Sampling(align=align)
        return [*generate(model, prompts, sampling, batch_size=8, max_patches=learning.patches)]

    def total(align: Align) -> Sum:
        all_stats = [piece.stats for piece in write(align)]
        kept, drawn, misaligned = zip(
            *(
                (stats.kept_patches, stats.sampled_patches, stats.misaligned_bars)
                for stats in all_stats
            ),
            strict=True,
        )
        return Sum(sum(kept), sum(drawn), sum(misaligned))

    def bits(align: Align) -> float:
        return _bits(model, [piece.text for piece in write(align)], learning.patches)

    chorale = torch.from_numpy(encode(texts()[0])[: learning.patches])
    return {
        "divergence": lambda: divergence(model, chorale, len(chorale) // 2),
        **{align: partial(total, align) for align in (*_ALIGN, "report")},
        **{f"{align}, bits": partial(bits, align) for align in _ALIGN},
    }


def _trained(learning: Learning) -> NotaGen:
    torch.manual_seed(0)
    model = our_model(learning.config).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(trained, lr=2e-3, fused=True)
    chorale = [encode(texts()[0])[: learning.patches]]
    for _ in range(learning.steps):
        optimizer.zero_grad()
        model.loss(chorale).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model.eval()


@torch.no_grad()
def _bits(model: NotaGen, written: list[str], longest: int) -> float:
    patches = [encode(text)[:longest] for text in written]
    characters = sum(int((piece[1:] != PAD).sum()) for piece in patches)
    nats = -sum(float(model.log_prob([piece])) for piece in patches)
    return nats / characters / float(torch.tensor(2.0).log())
