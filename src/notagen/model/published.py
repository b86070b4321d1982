"""Published checkpoints: reading and writing the layout of the original programs."""

from __future__ import annotations

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Final

import torch
from torch import Tensor

from notagen.model.config import ModelConfig

KIND: Final = "NotaGen"

PREFIXES = {
    "patch_decoder.patch_embedding.": "patch_level_decoder.patch_embedding.",
    "patch_decoder.": "patch_level_decoder.base.",
    "char_decoder.": "char_level_decoder.base.transformer.",
}
# Hugging Face's GPT-2 stores its linear layers as Conv1D, [in, out]; ours are nn.Linear, [out, in].
# Their patch embedding is a linear layer [D, S·V], ours a table [S·V, D].
TRANSPOSED = ("patch_embedding.weight", "c_attn.weight", "c_proj.weight", "c_fc.weight")
POSITIONS = "patch_level_decoder.base.wpe.weight"
CHAR_EMBEDDING = "char_level_decoder.base.transformer.wte.weight"
TIED_HEAD = "char_level_decoder.base.lm_head.weight"

Weights = dict[str, Tensor]


def read(path: str | Path) -> tuple[ModelConfig, Weights]:
    """Read a published checkpoint: sizes, from the shapes, and weights under our names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a NotaGen checkpoint; the message names the file and the reason.
    """
    theirs = read_tensors(path, KIND)
    for name in (POSITIONS, CHAR_EMBEDDING, TIED_HEAD):
        if name not in theirs:
            raise ValueError(f"{path} is not a {KIND} checkpoint: {name} is missing")
    if not torch.equal(theirs[TIED_HEAD], theirs[CHAR_EMBEDDING]):
        raise ValueError(f"{path} has an output head that is not tied to its char embedding")
    patch_length, hidden_size = theirs[POSITIONS].shape
    try:
        config = ModelConfig(
            patch_layers=_count_layers(theirs, "patch_level_decoder.base.h."),
            char_layers=_count_layers(theirs, "char_level_decoder.base.transformer.h."),
            hidden_size=hidden_size,
            patch_length=patch_length,
        )
    except ValueError as error:
        raise ValueError(f"{path} does not fit: {error}") from None
    return config, _renamed(theirs, {there: here for here, there in PREFIXES.items()})


def write(weights: Weights, path: str | Path) -> None:
    """Write weights, given under our names, as a checkpoint that the published programs read."""
    torch.save({"model": to_published(weights)}, path)


def to_published(weights: Weights) -> Weights:
    """Rename and transpose our weights (or their gradients) to the published layout."""
    theirs = _renamed(weights, PREFIXES)
    theirs[TIED_HEAD] = theirs[CHAR_EMBEDDING]
    return theirs


def _count_layers(weights: Weights, prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def _renamed(weights: Weights, prefixes: dict[str, str]) -> Weights:
    """Replace prefixes (the longest match wins), transpose matrices, leave out the tied head."""
    renamed = {}
    for name, weight in weights.items():
        if name == TIED_HEAD:
            continue
        old = max((p for p in prefixes if name.startswith(p)), key=len, default="")
        new = prefixes.get(old, "")
        matrix = name.endswith(TRANSPOSED)
        renamed[new + name.removeprefix(old)] = weight.T.contiguous() if matrix else weight
    return renamed


def read_tensors(path: str | Path, kind: str) -> Weights:
    """Read the weights of ``torch.save({"model": weights, ...})``, or of ``torch.save(weights)``.

    Args:
        path: the file.
        kind: name of the expected kind of checkpoint, for the message.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is something else; the message names it and the reason.
    """
    # torch.load raises almost anything on other files, so they are refused before.
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path} is not a file that torch.save has written")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise ValueError(f"{path} is not a checkpoint that torch can read safely") from error
    weights = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise ValueError(f"{path} is not a {kind} checkpoint: it holds no 'model' weights")
    return dict(weights)


def check_tensors(weights: Weights, expected: Weights, path: str | Path, kind: str) -> None:
    """Check that names and shapes are those of a model.

    Raises:
        ValueError: they are not; the message names the file and the first tensor that differs.
    """
    for name in sorted(weights.keys() | expected.keys()):
        if name not in weights or name not in expected:
            what = "unknown" if name in weights else "missing"
            raise ValueError(f"{path} is not a {kind} checkpoint: {name} is {what}")
        found, wanted = tuple(weights[name].shape), tuple(expected[name].shape)
        if found != wanted:
            raise ValueError(f"{path} does not fit: {name} is {found} and should be {wanted}")
