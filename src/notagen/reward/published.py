"""The published CLaMP 2 checkpoint: ``torch.save({"model": weights, "epoch": ..., ...})``.

Only the music tower is read. Its patch embedding is [hidden, 64·128] for a one-hot product, the
transpose of what is stored here; its pooler is used by nothing and left out, as is the text tower.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from notagen import weight_files
from notagen.weight_files import Weights

KIND: Final = "CLaMP 2"
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
        for name, weight in weight_files.read(path, KIND).items()
        if not name.startswith(_UNUSED)
    }
    for name in (_POSITIONS, "projection.weight", "embedding.weight"):
        if name not in weights:
            raise ValueError(f"{path} is not a {KIND} checkpoint: {name} is missing")
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


def _renamed(name: str, path: str | Path) -> str:
    for theirs, ours in PREFIXES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    raise ValueError(f"{path} is not a {KIND} checkpoint: {name} is unknown")
