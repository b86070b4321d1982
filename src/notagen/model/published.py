"""The published checkpoint files: `torch.save({"model": weights, "epoch": ..., ...})`.

Files that lack the other entries, or are the weights alone, are read as well.

Names map one to one. GPT-2 stores linear weights as [in, out], and the published patch embedding
is [hidden, 16·128] for a one-hot product; both are the transposes of what is stored here.
"""

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from notagen.model.config import ModelConfig

PREFIXES = {
    "patch_decoder.patch_embedding.": "patch_level_decoder.patch_embedding.",
    "patch_decoder.": "patch_level_decoder.base.",
    "char_decoder.": "char_level_decoder.base.transformer.",
}
TRANSPOSED = ("patch_embedding.weight", "c_attn.weight", "c_proj.weight", "c_fc.weight")
POSITIONS = "patch_level_decoder.base.wpe.weight"
CHAR_EMBEDDING = "char_level_decoder.base.transformer.wte.weight"
TIED_HEAD = "char_level_decoder.base.lm_head.weight"

Weights = dict[str, Tensor]


def read(path: str | Path) -> tuple[ModelConfig, Weights]:
    """A published checkpoint's sizes, told from its shapes, and its weights under our names.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not a NotaGen checkpoint; it names the file and the reason.
    """
    theirs = _load(path)
    for name in (POSITIONS, CHAR_EMBEDDING, TIED_HEAD):
        if name not in theirs:
            raise ValueError(f"{path} is not a NotaGen checkpoint: {name} is missing")
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


def check(weights: Weights, expected: Weights, path: str | Path) -> None:
    """Compare names and shapes with a model's; a ValueError tells the first that differs."""
    for name in sorted(weights.keys() | expected.keys()):
        if name not in expected:
            raise ValueError(f"{path} is not a NotaGen checkpoint: {name} is unknown")
        if name not in weights:
            raise ValueError(f"{path} is not a NotaGen checkpoint: {name} is missing")
        found, wanted = tuple(weights[name].shape), tuple(expected[name].shape)
        if found != wanted:
            raise ValueError(f"{path} does not fit: {name} is {found} and should be {wanted}")


def write(weights: Weights, path: str | Path) -> None:
    """Save weights, under our names, as a checkpoint that the published programs read."""
    torch.save({"model": to_published(weights)}, path)


def to_published(weights: Weights) -> Weights:
    """Our weights (or their gradients) under the published names, in the published layout."""
    theirs = _renamed(weights, PREFIXES)
    theirs[TIED_HEAD] = theirs[CHAR_EMBEDDING]
    return theirs


def _load(path: str | Path) -> Weights:
    # Other files make the unpickler raise almost anything, so they do not get that far.
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path} is not a file that torch.save has written")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(f"{path} is not a checkpoint that torch can read safely") from error
    weights = checkpoint.get("model", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(w, Tensor) for w in weights.values()):
        raise ValueError(f"{path} is not a NotaGen checkpoint: it holds no 'model' weights")
    return dict(weights)


def _count_layers(weights: Weights, prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def _renamed(weights: Weights, prefixes: dict[str, str]) -> Weights:
    """Other prefixes (the longest that fits) and transposed matrices; the tied head is left out."""
    renamed = {}
    for name, weight in weights.items():
        if name == TIED_HEAD:
            continue
        old = max((p for p in prefixes if name.startswith(p)), key=len, default="")
        new = prefixes.get(old, "")
        matrix = name.endswith(TRANSPOSED)
        renamed[new + name.removeprefix(old)] = weight.T.contiguous() if matrix else weight
    return renamed
