"""generate(): many pieces at once, rows joining and leaving a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from notagen.generation.constraints import Form
from notagen.generation.piece import FinishReason, GenerationRow, GenerationStats, to_patches
from notagen.generation.sampling import Sampling
from notagen.model import NotaGen
from notagen.model.decoding.decoder import Decoder
from notagen.model.decoding.runner import Quantize
from notagen.patches import EOS, PATCH_SIZE, VOCABULARY

_END = chr(EOS)
_TEXT = [ord("\t"), ord("\n"), *range(ord(" "), ord("~") + 1)]


@dataclass(frozen=True)
class GeneratedPiece:
    """A piece as the model left it.

    Attributes:
        index: its number, by default which of the prompts it goes on from.
        text: interleaved ABC with rests left out and stream marks.
        finish_reason: how it ended.
        stats: what it cost.
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
    """Write a piece from each prompt, ``batch_size`` at a time; yield each one as it ends.

    A piece depends on its prompt, its number, the form and the seed, not on what is written
    beside it.

    Args:
        model: the weights to write with.
        prompts: beginnings of pieces: comment lines, header lines, bars with stream marks; an
            empty string leaves everything to the model.
        sampling: how characters are drawn, and which bars are drawn again; as published, and
            bars until their voices agree, when None.
        seed: of all draws.
        batch_size: pieces in the batch; ended ones make room for the next.
        max_patches: where to stop a piece that does not end.
        form: what is asked of every piece beyond its prompt.
        numbers: of the pieces, to write some of a larger set; 0, 1, 2 and so on when None.
        quantize: ``int8`` rounds matrices to eight bits: faster where a processor reads a large
            model's weights, and not quite the same model.
        cuda_graphs: replay each step as one CUDA graph.

    Yields:
        Pieces in the order in which they end.

    Raises:
        UserError: ``quantize`` or ``cuda_graphs`` is not possible with the model's device or type.
    """
    sampling = sampling or Sampling()
    waiting: deque[GenerationRow] = deque()
    for index, prompt in zip(numbers or range(len(prompts)), prompts, strict=True):
        piece = GenerationRow(index, prompt, form, sampling, seed, max_patches)
        if piece.finish_reason is None:
            waiting.append(piece)
        else:
            yield GeneratedPiece(index, prompt, piece.finish_reason, piece.stats)
    pieces = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
    if not pieces:
        return
    decoder = Decoder(model.eval(), len(pieces), quantize, cuda_graphs=cuda_graphs)
    for row, piece in enumerate(pieces):
        piece.prefill(decoder, row)
    while pieces:
        _write_patch(decoder, pieces, sampling)
        for row, piece in enumerate(pieces):
            if piece.finish_reason is None:
                continue
            yield GeneratedPiece(piece.index, piece.draft.text, piece.finish_reason, piece.stats)
            if waiting:
                pieces[row] = waiting.popleft()
                pieces[row].prefill(decoder, row)
        staying = [row for row, piece in enumerate(pieces) if piece.finish_reason is None]
        if len(staying) < len(pieces):
            pieces = [pieces[row] for row in staying]
            decoder.keep(staying)


def _write_patch(decoder: Decoder, pieces: Sequence[GenerationRow], sampling: Sampling) -> None:
    """Draw the next patch of every piece and append it to draft and decoder."""
    noise = [piece.noise() for piece in pieces]
    texts = [""] * len(pieces)
    rows = [*range(len(pieces))]  # those that have not ended their patch
    logits = decoder.begin_patch()
    for slot in range(PATCH_SIZE):
        allowed = [pieces[row].draft.allowed(texts[row]) for row in rows]
        uniform = [noise[row][slot] for row in rows]
        drawn = _draw(logits, allowed, uniform, sampling, first=slot == 0)
        for row, chosen in zip(rows, drawn, strict=True):
            texts[row] += chr(chosen)
        rows = [row for row in rows if not texts[row].endswith(_END)]
        if not rows or slot + 1 == PATCH_SIZE:
            break
        logits = decoder.next_char([chosen for chosen in drawn if chosen != EOS], rows)
    texts = [text.rstrip(_END) for text in texts]
    decoder.push(torch.from_numpy(to_patches(texts)))
    for row, (piece, text) in enumerate(zip(pieces, texts, strict=True)):
        piece.add(text, decoder, row)


def _draw(
    logits: Tensor,
    allowed: Sequence[str | None],
    uniform: Sequence[float],
    sampling: Sampling,
    *,
    first: bool,
) -> list[int]:
    """Draw a character for every row from those that are allowed there."""
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
    """Zero for what may come next, minus infinity for what no text holds or is not allowed."""
    if allowed is not None:
        open_ids = [ord(character) for character in allowed]
    else:
        open_ids = _TEXT if first else [*_TEXT, EOS]
    bias = torch.full((VOCABULARY,), float("-inf"), device=device)
    bias[open_ids] = 0.0
    return bias
