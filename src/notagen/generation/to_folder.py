"""Generation of many pieces, saved as scores in a folder."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from rich.progress import track

from notagen.atomic import locked
from notagen.errors import Stopped, UserError
from notagen.generation.constraints import Form
from notagen.generation.engine import generate
from notagen.generation.sampling import Sampling
from notagen.generation.saving import INDEX, Saved, add_to_index, next_number, save
from notagen.metrics.bits import likelihood
from notagen.model import NotaGen
from notagen.patches import Patches, encode


class SavedPieces(NamedTuple):
    """Pieces in a folder.

    Attributes:
        pieces: one entry per piece, as in ``index.jsonl``, by number.
        bits_per_character: of the generated texts, by the model that generated them.
    """

    pieces: list[Saved]
    bits_per_character: float


def generate_to_folder(
    model: NotaGen,
    prompts: Sequence[str],
    folder: Path,
    formats: Sequence[str],
    sampling: Sampling,
    seed: int,
    batch_size: int,
    max_patches: int,
    form: Form,
    quantize: Literal["int8"] | None = None,
    cuda_graphs: bool = False,
) -> SavedPieces:
    """Generate a piece per prompt, and save each as soon as it ends.

    Files of earlier pieces stay, and numbers go on from theirs. What ends the run early leaves all
    finished pieces, each with its line in ``index.jsonl``.

    Args:
        model: weights in evaluation mode.
        prompts: the text that each piece begins with; empty for none.
        folder: for the scores and ``index.jsonl``; created if necessary.
        formats: file formats, see :func:`notagen.generation.saving.save`.
        sampling, seed, batch_size, max_patches, form, quantize, cuda_graphs: as in
            :func:`notagen.generation.generate`.

    Raises:
        UserError: another process generates into the folder, or as in
            :func:`notagen.generation.generate`.
        Stopped: on Ctrl-C and SIGTERM; the message says what is kept.
    """
    written = generate(
        model,
        prompts,
        sampling,
        seed,
        batch_size,
        max_patches,
        form,
        quantize=quantize,
        cuda_graphs=cuda_graphs,
    )
    saved: list[Saved] = []
    patches: list[Patches] = []
    with locked(folder / INDEX):
        number = next_number(folder)
        try:
            for piece in track(written, "writing pieces", total=len(prompts)):
                one = save(piece, seed, folder, number + piece.index, formats)
                add_to_index(one, folder)
                saved.append(one)
                patches.append(encode(piece.text)[: model.config.patch_length])
        except KeyboardInterrupt as interrupt:
            raise Stopped(
                f"stopped; {len(saved)} of {len(prompts)} pieces are finished, in {folder / INDEX}",
                interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT,
            ) from None
    saved.sort(key=lambda piece: piece.index)  # pieces are yielded as they end
    return SavedPieces(saved, likelihood(model, patches).bits_per_character)


def to_device(model: NotaGen, precision: str) -> NotaGen:
    """Move a model to the GPU, if there is one, with weights of the given precision.

    Args:
        model: float32 weights on the CPU.
        precision: ``32``, ``bf16`` or ``16``.

    Raises:
        UserError: the precision is unknown, or needs a GPU.
    """
    types = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}
    if precision not in types:
        raise UserError(f"precision must be one of {', '.join(types)}, not {precision}")
    if torch.cuda.is_available():
        return model.to("cuda", types[precision])
    if precision != "32":
        raise UserError(f"precision={precision} needs a CUDA device; leave it at 32")
    return model
