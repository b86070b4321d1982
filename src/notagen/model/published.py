"""The published checkpoint files: `torch.save({"model": weights, "epoch": ..., ...})`.

Files that lack the other entries, or are the weights alone, are read as well.

Names map one to one. GPT-2 stores linear weights as [in, out], and the published patch embedding
is [hidden, 16·128] for a one-hot product; both are the transposes of what is stored here.
"""

from pathlib import Path
from typing import Final

import torch

from notagen import weight_files
from notagen.model.config import ModelConfig
from notagen.weight_files import Weights

KIND: Final = "NotaGen"

PREFIXES = {
    "patch_decoder.patch_embedding.": "patch_level_decoder.patch_embedding.",
    "patch_decoder.": "patch_level_decoder.base.",
    "char_decoder.": "char_level_decoder.base.transformer.",
}
TRANSPOSED = ("patch_embedding.weight", "c_attn.weight", "c_proj.weight", "c_fc.weight")
POSITIONS = "patch_level_decoder.base.wpe.weight"
CHAR_EMBEDDING = "char_level_decoder.base.transformer.wte.weight"
TIED_HEAD = "char_level_decoder.base.lm_head.weight"


def read(path: str | Path) -> tuple[ModelConfig, Weights]:
    """A published checkpoint's sizes, told from its shapes, and its weights under our names.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when the file is not a NotaGen checkpoint; it names the file and the reason.
    """
    theirs = weight_files.read(path, KIND)
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
    """Save weights, under our names, as a checkpoint that the published programs read."""
    torch.save({"model": to_published(weights)}, path)


def to_published(weights: Weights) -> Weights:
    """Our weights (or their gradients) under the published names, in the published layout."""
    theirs = _renamed(weights, PREFIXES)
    theirs[TIED_HEAD] = theirs[CHAR_EMBEDDING]
    return theirs


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
