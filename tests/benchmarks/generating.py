"""Writing music: time for one more patch of a piece, by size, context and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.material import our_model, reference_model, score, texts
from benchmarks.reference import draw
from benchmarks.sides import Side, Works, alternate
from benchmarks.table import Row, timed
from notagen.generation import Sampling, generate
from notagen.generation.sampling import patch_noise
from notagen.model import Decoder, ModelConfig
from notagen.patches import PAD, PATCH_SIZE, encode_prompt

_CHECKED = 4  # patches written greedily by both
_SAMPLING = Sampling(align="off")  # as published


@dataclass(frozen=True)
class Writing:
    """What to measure of one size.

    Args:
        size: its name.
        config: its sizes.
        goals: by context and batch, and the goal of each.
        patches: written a round at each context.
        whole: patches written a round from a header on, by `generate`; 0 for none.
    """

    size: str
    config: ModelConfig
    goals: dict[tuple[int, int], str]
    patches: int
    whole: int = 0


def rows(writing: Writing, rounds: int, threads: int) -> Iterator[Row]:
    """Milliseconds a patch of one piece; the reference writes one piece at a time."""
    with (
        Side(partial(reference, writing), threads) as theirs,
        Side(partial(ours, writing), threads) as own,
    ):
        greedy = theirs("greedy").result, own("greedy").result
        assert greedy[0] == greedy[1], f"{writing.size}: greedy patches differ, {greedy}"
        for (context, batch), goal in writing.goals.items():
            measured = alternate((theirs, f"{context}"), (own, f"{context}, batch {batch}"), rounds)
            name = f"write {writing.size}, context {context}, batch {batch}"
            yield from timed(name, "ms a patch", measured, goal)
        if writing.whole:
            for batch in (1, 8):
                measured = alternate((theirs, "whole"), (own, f"whole, batch {batch}"), rounds)
                name = f"generate() {writing.size}, {writing.whole} patches, batch {batch}"
                remark = "prefill, form and checks of the text included; 16 characters a patch"
                yield from timed(name, "ms a patch", measured, remark=remark)


def reference(writing: Writing) -> Works:
    """Everything anew for every character, 16 of them always."""
    model = reference_model(writing.config).eval()
    rng = np.random.default_rng(0)
    choose = partial(draw, rng=rng)

    def write(context: int) -> int:
        real = score(context + writing.patches)
        for length in range(context, len(real)):
            model.next_patch(real[:length], choose)
        return writing.patches

    def write_on(patches: Tensor, count: int, choose: Callable[[Tensor], int]) -> Tensor:
        for _ in range(count):
            patch = torch.tensor([model.next_patch(patches, choose)])
            patches = torch.cat([patches, patch])
        return patches

    def greedy() -> list[list[int]]:
        return write_on(score(_context(writing)), _CHECKED, _best)[-_CHECKED:].tolist()

    def whole() -> int:
        patches, _ = encode_prompt(_header())
        return len(write_on(torch.from_numpy(patches).long(), writing.whole, choose)) - len(patches)

    contexts = {f"{context}": partial(write, context) for context, _ in writing.goals}
    return {"greedy": greedy, "whole": whole, **contexts}


def ours(writing: Writing) -> Works:
    """Cached decoding and our sampling; what is drawn is replaced by real music."""
    model = our_model(writing.config).eval()

    def greedy() -> list[list[int]]:
        decoder = Decoder(model, 1)
        decoder.prefill(0, score(_context(writing)))
        written = []
        for _ in range(_CHECKED):
            ids = [int(decoder.begin_patch().argmax())]
            while len(ids) < PATCH_SIZE:
                ids.append(int(decoder.next_char(torch.tensor(ids[-1:])).argmax()))
            decoder.push(torch.tensor([ids]))
            written.append(ids)
        return written

    def whole(batch: int) -> int:
        prompts = [_header()] * batch
        most = len(encode_prompt(_header())[0]) + writing.whole
        pieces = generate(model, prompts, _SAMPLING, rows=batch, most_patches=most)
        return sum(piece.tally.kept for piece in pieces)

    places = {
        f"{context}, batch {batch}": _at_context(Decoder(model, batch), context, writing.patches)
        for context, batch in writing.goals
    }
    return {"greedy": greedy, **{f"whole, batch {n}": partial(whole, n) for n in (1, 8)}, **places}


def _at_context(decoder: Decoder, context: int, patches: int) -> Callable[[], int]:
    """Read a context into every row once, and write on from there each time."""
    rows = len(decoder.lengths)
    real = torch.stack([score(context + patches, start=97 * row) for row in range(rows)])
    for row in range(rows):
        decoder.prefill(row, real[row, :context])

    def write() -> int:
        for row in range(rows):
            decoder.rewind(row, context)
        for patch in real[:, context:].unbind(1):
            _write_patch(decoder, patch)
        return rows * patches

    return write


def _write_patch(decoder: Decoder, patch: Tensor) -> None:
    """Draw as many characters as the longest of the real patches [rows, 16] has."""
    ids = patch.long()
    noise = np.array([patch_noise(0, row, decoder.lengths[row], 0) for row in range(len(ids))])
    logits = decoder.begin_patch()
    longest = int((ids != PAD).sum(1).max())
    for slot in range(longest):
        _SAMPLING.draw(logits, noise[:, slot].tolist())
        if slot + 1 < longest:
            logits = decoder.next_char(ids[:, slot])
    decoder.push(ids)


def _context(writing: Writing) -> int:
    return next(iter(writing.goals))[0]


def _header() -> str:
    """A real header and the first bar, which says how many are to come."""
    lines = texts()[0].splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith("["))
    return "".join(lines[:first]) + f"[r:0/{len(lines) - first - 1}]" + lines[first]


def _best(probabilities: Tensor) -> int:
    return int(probabilities.argmax())
