"""Writing music: time for one more patch of a piece, by size, context and batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
from notagen.model import Decoder, ModelConfig, NotaGen
from notagen.model.decoding.runner import Quantize
from notagen.patches import EOS, PAD, PATCH_SIZE, VOCABULARY, encode_prompt

_CHECKED = 4  # patches written greedily by both
_SAMPLING = Sampling(align="off")  # as published
Goals = dict[tuple[int, int], str]


@dataclass(frozen=True)
class Writing:
    """What to measure of one size.

    Args:
        size: its name.
        config: its sizes.
        goals: by context and batch, and the goal of each.
        patches: written a round at each context.
        rounded: the same as `goals`, with matrices in eight bits.
        threads: of torch, where they are not those of the other measurements.
        whole: patches written a round from a header on, by `generate`; 0 for none.
    """

    size: str
    config: ModelConfig
    goals: Goals
    patches: int
    rounded: Goals = field(default_factory=dict)
    threads: int | None = None
    whole: int = 0


def rows(writing: Writing, rounds: int, threads: int, rate: float) -> Iterator[Row]:
    """Milliseconds a patch of one piece; the reference writes one piece at a time.

    ``rate`` is that of memory, in bytes a second.
    """
    with_threads = f", {writing.threads} threads" if writing.threads else ""
    threads = writing.threads or threads
    with (
        Side(partial(reference, writing), threads) as theirs,
        Side(partial(ours, writing), threads) as own,
    ):
        greedy = theirs("greedy").result, own("greedy").result
        assert greedy[0] == greedy[1], f"{writing.size}: greedy patches differ, {greedy}"
        for setting, goal in _settings(writing).items():
            context = setting.split(",")[0]
            measured = alternate((theirs, context), (own, setting), rounds)
            name = f"write {writing.size}, context {setting}{with_threads}"
            yield from timed(name, "ms a patch", measured, goal)
        if writing.rounded:
            name = f"write {writing.size}, its weights read from memory"
            milliseconds = 1e3 * weights_read(writing) / rate
            remark = "at the rate above; in int8 a quarter; what stays in the caches is not read"
            yield Row(name, "ms a patch", milliseconds, remark=remark)
            name = f"write {writing.size}, int8"
            nats = own("divergence").result
            yield Row(name, "nats a character", nats, goal="at most 1e-3", remark="KL to float32")
        if writing.whole:
            for batch in (1, 8):
                measured = alternate((theirs, "whole"), (own, f"whole, batch {batch}"), rounds)
                name = f"generate() {writing.size}, {writing.whole} patches, batch {batch}"
                remark = "prefill, form and checks of the text included; 16 characters a patch"
                yield from timed(name, "ms a patch", measured, remark=remark)


def weights_read(writing: Writing) -> float:
    """Bytes that a patch of one piece takes: the patch level once, the char level each time."""
    config, real = writing.config, score(_context(writing) + writing.patches)
    block = 12 * config.hidden_size**2
    characters = float((real[1:] != PAD).sum()) / (len(real) - 1)
    char_level = config.char_layers * block + config.hidden_size * VOCABULARY
    return 4 * (config.patch_layers * block + characters * char_level)


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
        patches, _ = encode_prompt(header())
        return len(write_on(torch.from_numpy(patches).long(), writing.whole, choose)) - len(patches)

    contexts = {
        f"{context}": partial(write, context) for context, _ in [*writing.goals, *writing.rounded]
    }
    return {"greedy": greedy, "whole": whole, **contexts}


def ours(writing: Writing) -> Works:
    """Cached decoding and our sampling; the ids drawn are replaced by real music."""
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
        prompts = [header()] * batch
        most = len(encode_prompt(header())[0]) + writing.whole
        pieces = generate(model, prompts, _SAMPLING, batch_size=batch, max_patches=most)
        return sum(piece.stats.kept_patches for piece in pieces)

    def int8_divergence() -> float:
        return divergence(model, score(_context(writing) + writing.patches), _context(writing))

    ways: tuple[tuple[Quantize | None, Goals], ...] = (
        (None, writing.goals),
        ("int8", writing.rounded),
    )
    settings = {
        _setting(context, batch, quantize): _at_context(
            Decoder(model, batch, quantize), context, writing.patches
        )
        for quantize, goals in ways
        for context, batch in goals
    }
    return {
        "greedy": greedy,
        "divergence": int8_divergence,
        **{f"whole, batch {n}": partial(whole, n) for n in (1, 8)},
        **settings,
    }


def _settings(writing: Writing) -> dict[str, str]:
    """Goal by name of a setting."""
    exact = {_setting(*setting, None): goal for setting, goal in writing.goals.items()}
    return exact | {_setting(*setting, "int8"): goal for setting, goal in writing.rounded.items()}


def _setting(context: int, batch: int, quantize: Quantize | None) -> str:
    return f"{context}, batch {batch}" + (f", {quantize}" if quantize else "")


def divergence(model: NotaGen, patches: Tensor, context: int) -> float:
    """Mean KL divergence of int8's from float32's prediction of each real character, in nats."""
    ways: tuple[Quantize | None, ...] = (None, "int8")
    exact, rounded = (_log_probs(Decoder(model, 1, way), patches, context) for way in ways)
    return float((exact.exp() * (exact - rounded)).sum(-1).mean())


def _log_probs(decoder: Decoder, patches: Tensor, context: int) -> Tensor:
    """Log-probabilities of every id at each character after the context, [characters, 128]."""
    decoder.prefill(0, patches[:context])
    logits = []
    for patch in patches[context:].long():
        logits.append(decoder.begin_patch())
        logits += [decoder.next_char(id_[None]) for id_ in patch[patch != PAD][:-1]]
        decoder.push(patch[None])
    return torch.cat(logits).log_softmax(-1)


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
    """Draw as many characters in each row as its real patch, of [rows, 16], has."""
    slots = patch.T.tolist()
    noise = [patch_noise(0, row, decoder.lengths[row], 0) for row in range(len(patch))]
    rows = [*range(len(patch))]
    logits = decoder.begin_patch()
    for slot, ids in enumerate(slots):
        _SAMPLING.draw(logits, [noise[row][slot] for row in rows])
        rows = [row for row in rows if ids[row] != EOS]
        if not rows or slot + 1 == PATCH_SIZE:
            break
        logits = decoder.next_char([ids[row] for row in rows], rows)
    decoder.push(patch)


def _context(writing: Writing) -> int:
    return next(iter(writing.goals))[0]


def header() -> str:
    """A real header and the first bar, which says how many are to come."""
    lines = texts()[0].splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith("["))
    return "".join(lines[:first]) + f"[r:0/{len(lines) - first - 1}]" + lines[first]


def _best(probabilities: Tensor) -> int:
    return int(probabilities.argmax())
