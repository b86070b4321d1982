"""Many pieces written at once by one model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from notagen.generation.draft import Draft, Ending
from notagen.generation.sampling import Sampling, patch_noise
from notagen.model import NotaGen
from notagen.model.decode import Decoder
from notagen.patches import BOS, EOS, PAD, PATCH_SIZE, VOCABULARY


@dataclass(frozen=True)
class Written:
    """A piece as the model left it.

    Attributes:
        index: which of the prompts it goes on from.
        text: interleaved ABC with rests left out and stream marks.
        ending: how it ended.
    """

    index: int
    text: str
    ending: Ending


def generate(
    model: NotaGen,
    prompts: Sequence[str],
    sampling: Sampling | None = None,
    seed: int = 0,
    rows: int = 8,
    most_patches: int = 4096,
) -> Iterator[Written]:
    """Write a piece from each prompt, ``rows`` at a time; yield each one as it ends.

    A piece depends on its prompt, its index and the seed, not on what is written beside it.

    Args:
        model: the weights to write with.
        prompts: beginnings of pieces: comment lines, header lines, bars with stream marks; an
            empty string leaves everything to the model.
        sampling: how characters are drawn; as published when None.
        seed: of all draws.
        rows: pieces in the batch; ended ones make room for the next.
        most_patches: where to stop a piece that does not end.

    Yields:
        Pieces in the order in which they end.
    """
    waiting = deque(enumerate(prompts))
    seats = [_Seat(*waiting.popleft(), seed, most_patches) for _ in range(min(rows, len(waiting)))]
    if not seats:
        return
    decoder = Decoder(model.eval(), len(seats))
    for row, seat in enumerate(seats):
        seat.prefill(decoder, row)
    while seats:
        _write_patch(decoder, seats, sampling or Sampling())
        for row, seat in enumerate(seats):
            if seat.draft.ending is None:
                if decoder.lengths[row] == decoder.patch_length:
                    seat.prefill(decoder, row)
                continue
            yield Written(seat.index, seat.draft.text, seat.draft.ending)
            if waiting:
                seats[row] = _Seat(*waiting.popleft(), seed, most_patches)
                seats[row].prefill(decoder, row)
        staying = [row for row, seat in enumerate(seats) if seat.draft.ending is None]
        if len(staying) < len(seats):
            seats = [seats[row] for row in staying]
            decoder.keep(staying)


class _Seat:
    """One row of the batch: a draft, and what draws it."""

    def __init__(self, index: int, prompt: str, seed: int, most_patches: int) -> None:
        self.index = index
        self.seed = seed
        self.draft = Draft(prompt, most_patches)

    def prefill(self, decoder: Decoder, row: int) -> None:
        """Read the draft's context into the decoder."""
        decoder.rewind(row, 0)
        context = self.draft.context(decoder.patch_length)
        decoder.prefill(row, torch.from_numpy(context))

    def noise(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Uniform numbers [16] for the patch that comes next."""
        return patch_noise(self.seed, self.index, len(self.draft.patches))


def _write_patch(decoder: Decoder, seats: Sequence[_Seat], sampling: Sampling) -> None:
    """Draw the next patch of every seat and append it to draft and decoder."""
    noise = torch.from_numpy(np.stack([seat.noise() for seat in seats]))
    ids = np.full((len(seats), PATCH_SIZE), PAD, dtype=np.uint8)
    written = [""] * len(seats)
    open_rows = set(range(len(seats)))
    logits = decoder.begin_patch()
    for slot in range(PATCH_SIZE):
        allowed = [seat.draft.allowed(text) for seat, text in zip(seats, written, strict=True)]
        drawn = sampling.draw(_masked(logits, allowed, slot), noise[:, slot])
        for row, character in enumerate(drawn.tolist()):
            if row in open_rows:
                ids[row, slot] = character
                if character == EOS:
                    open_rows.discard(row)
                else:
                    written[row] += chr(character)
        if not open_rows:
            break
        if slot + 1 < PATCH_SIZE:
            logits = decoder.next_char(drawn)
    decoder.push(torch.from_numpy(ids))
    for seat, patch in zip(seats, ids, strict=True):
        seat.draft.add(patch)


def _masked(logits: Tensor, allowed: Sequence[str | None], slot: int) -> Tensor:
    """Forbid what no text holds: padding, a start inside a piece, an empty patch."""
    mask = torch.zeros(len(allowed), VOCABULARY, dtype=torch.bool)
    mask[:, [PAD, BOS]] = True
    if slot == 0:
        mask[:, EOS] = True
    for row, characters in enumerate(allowed):
        if characters is not None:
            mask[row] = True
            mask[row, [ord(character) for character in characters]] = False
    return logits.masked_fill(mask.to(logits.device), float("-inf"))
