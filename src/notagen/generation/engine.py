"""generate(): many pieces at once, in a batch that pieces leave and join."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from notagen.errors import UserError
from notagen.generation.constraints import Form
from notagen.generation.piece import FinishReason, GenerationRow, GenerationStats, to_patches
from notagen.generation.sampling import Sampling
from notagen.model import NotaGen
from notagen.model.decoding.decoder import Decoder
from notagen.model.decoding.runner import Quantize
from notagen.patches import EOS, PATCH_SIZE, VOCABULARY
from notagen.prompts import check_text

_END = chr(EOS)
_TEXT = [ord("\t"), ord("\n"), *range(ord(" "), ord("~") + 1)]


@dataclass(frozen=True)
class GeneratedPiece:
    """A generated piece.

    Attributes:
        index: number of the piece, by default the index of its prompt.
        text: interleaved ABC with stream marks, resting voices left out.
        finish_reason: why generation stopped.
        stats: counts of patches, resamples and repairs.
    """

    index: int
    text: str
    finish_reason: FinishReason
    stats: GenerationStats


def generate(
    model: NotaGen,
    prompts: Sequence[str],
    sampling: Sampling | None = None,
    seed: int = 0,
    batch_size: int = 8,
    max_patches: int = 4096,
    form: Form | None = None,
    numbers: Sequence[int] | None = None,
    quantize: Quantize | None = None,
    cuda_graphs: bool = False,
) -> Iterator[GeneratedPiece]:
    """Continue each prompt to a piece, ``batch_size`` at a time; yield each piece as it ends.

    A piece depends on its prompt, its number, the form and the seed, not on the rest of its batch:
    only where a draw falls within about 1e-6 of a boundary do the last bits of a product, which
    differ with batch and processor, decide.

    Args:
        model: the model; put into eval mode.
        prompts: beginnings of pieces: comment lines, header lines, bars with stream marks; an
            empty string leaves everything to the model.
        sampling: settings of sampling and alignment; the defaults when None.
        seed: of all random numbers.
        batch_size: pieces in the batch; a piece that ends makes room for the next.
        max_patches: length at which a piece that does not end is stopped.
        form: constraints on every piece beyond its prompt.
        numbers: of the pieces, for a part of a larger set; 0, 1, 2, ... when None.
        quantize: ``int8`` to round matrices: faster for large models on a CPU, and slightly
            different probabilities.
        cuda_graphs: replay each step as one CUDA graph.

    Yields:
        Pieces in the order in which they end.

    Raises:
        UserError: ``quantize`` or ``cuda_graphs`` is not possible on the model's device or with the
            type of its weights, a prompt has labels that the model was not trained with, the form
            has more voices than the model's context holds, or the model's logits are NaN.
    """
    if model.prompts is not None:
        for prompt in prompts:
            check_text(prompt, model.prompts)
    if form is not None:
        form.check_length(model.config.patch_length)
    sampling = sampling or Sampling()
    waiting: deque[GenerationRow] = deque()
    for number, prompt in zip(numbers or range(len(prompts)), prompts, strict=True):
        row = GenerationRow(number, prompt, form, sampling, seed, max_patches)
        if row.finish_reason is None:
            waiting.append(row)
        else:
            yield GeneratedPiece(number, prompt, row.finish_reason, row.stats)
    rows = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
    if not rows:
        return
    decoder = Decoder(model.eval(), len(rows), quantize, cuda_graphs=cuda_graphs)
    for i, row in enumerate(rows):
        row.prefill(decoder, i)
    while rows:
        _generate_patch(decoder, rows, sampling)
        for i, row in enumerate(rows):
            if row.finish_reason is None:
                continue
            yield GeneratedPiece(row.index, row.piece.text, row.finish_reason, row.stats)
            if waiting:
                rows[i] = waiting.popleft()
                rows[i].prefill(decoder, i)
        staying = [i for i, row in enumerate(rows) if row.finish_reason is None]
        if len(staying) < len(rows):
            rows = [rows[i] for i in staying]
            decoder.keep(staying)


def _generate_patch(decoder: Decoder, rows: Sequence[GenerationRow], sampling: Sampling) -> None:
    """Sample the next patch of every row and append it to the row and the decoder."""
    noise = [row.noise() for row in rows]
    texts = [""] * len(rows)
    unfinished = [*range(len(rows))]  # rows whose patch has not ended
    logits = decoder.begin_patch()
    if logits.isnan().any():
        raise UserError(
            "the model predicts NaN: its weights are damaged or its training diverged; take an "
            "earlier checkpoint, or precision=32"
        )
    for slot in range(PATCH_SIZE):
        allowed = [rows[i].piece.allowed(texts[i]) for i in unfinished]
        uniform = [noise[i][slot] for i in unfinished]
        ids = _sample(logits, allowed, uniform, sampling, first=slot == 0)
        for i, id_ in zip(unfinished, ids, strict=True):
            texts[i] += chr(id_)
        unfinished = [i for i in unfinished if not texts[i].endswith(_END)]
        if not unfinished or slot + 1 == PATCH_SIZE:
            break
        logits = decoder.next_char([id_ for id_ in ids if id_ != EOS], unfinished)
    texts = [text.rstrip(_END) for text in texts]
    decoder.push(torch.from_numpy(to_patches(texts)))
    for i, (row, text) in enumerate(zip(rows, texts, strict=True)):
        row.add(text, decoder, i)


def _sample(
    logits: Tensor,
    allowed: Sequence[str | None],
    uniform: Sequence[float],
    sampling: Sampling,
    *,
    first: bool,
) -> list[int]:
    """Sample an id for every row from its allowed characters."""
    # If every row has a single choice, no logits are read: on a GPU that saves a synchronization.
    forced = [ord(characters) for characters in allowed if characters and len(characters) == 1]
    if len(forced) == len(allowed):
        return forced
    if any(allowed):
        bias = torch.stack([_bias(characters, first, logits.device) for characters in allowed])
    else:
        bias = _bias(None, first, logits.device)
    return sampling.draw(logits.float() + bias, uniform)


@lru_cache(maxsize=1024)
def _bias(allowed: str | None, first: bool, device: torch.device) -> Tensor:
    """Bias [128] of the logits: zero for allowed ids, minus infinity for others.

    Where any character is allowed, ids are those of printable text, and ``EOS``, except as the
    first id of a patch: no patch is empty.
    """
    if allowed is not None:
        open_ids = [ord(character) for character in allowed]
    else:
        open_ids = _TEXT if first else [*_TEXT, EOS]
    bias = torch.full((VOCABULARY,), float("-inf"), device=device)
    bias[open_ids] = 0.0
    return bias
