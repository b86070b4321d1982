"""The published CLaMP 2 checkpoint: ``torch.save({"model": weights, "epoch": ..., ...})``.

Only the music tower is read. Its patch embedding is [hidden, 64·128] for a one-hot product, the
transpose of what is stored here; its pooler is used by nothing and left out, as is the text tower.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

Weights = dict[str, Tensor]

PREFIXES: Final = {
    "music_model.patch_embedding.": "embedding.",
    "music_model.base.": "bert.",
    "music_proj.": "projection.",
}
_UNUSED: Final = ("text_model.", "text_proj.", "music_model.base.pooler.")
_POSITIONS: Final = "bert.embeddings.position_embeddings.weight"
_LAYER: Final = "bert.encoder.layer."


def read(path: str | Path) -> tuple[dict[str, int], Weights]:
    """The sizes of a checkpoint's music tower, as arguments of ``EncoderConfig``, and its weights.

    Raises:
        ValueError: the file is not a CLaMP 2 checkpoint; it names the file and the reason.
    """
    weights = {
        _renamed(name, path): weight
        for name, weight in _load(path).items()
        if not name.startswith(_UNUSED)
    }
    for name in (_POSITIONS, "projection.weight", "embedding.weight"):
        if name not in weights:
            raise ValueError(f"{path} is not a CLaMP 2 checkpoint: {name} is missing")
    weights["embedding.weight"] = weights["embedding.weight"].T.contiguous()
    feature_size, hidden_size = weights["projection.weight"].shape
    layers = {name.removeprefix(_LAYER).split(".")[0] for name in weights if _LAYER in name}
    sizes = {
        "layers": len(layers),
        "hidden_size": hidden_size,
        "feature_size": feature_size,
        "patch_length": len(weights[_POSITIONS]),
    }
    return sizes, weights


def check(weights: Weights, expected: Weights, path: str | Path) -> None:
    """Compare names and shapes with an encoder's; a ValueError tells the first that differs."""
    for name in sorted(weights.keys() | expected.keys()):
        if name not in weights or name not in expected:
            what = "unknown" if name in weights else "missing"
            raise ValueError(f"{path} is not a CLaMP 2 checkpoint: {name} is {what}")
        found, wanted = tuple(weights[name].shape), tuple(expected[name].shape)
        if found != wanted:
            raise ValueError(f"{path} does not fit: {name} is {found} and should be {wanted}")


def _renamed(name: str, path: str | Path) -> str:
    for theirs, ours in PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise ValueError(f"{path} is not a CLaMP 2 checkpoint: {name} is unknown")


def _load(path: str | Path) -> Weights:
    # Other files make the unpickler raise almost anything, so they do not get that far.
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{path} is not a file that torch.save has written")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ValueError(f"{path} is not a checkpoint that torch can read safely") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model"), dict):
        raise ValueError(f"{path} is not a CLaMP 2 checkpoint: it holds no 'model' weights")
    return dict(checkpoint["model"])
