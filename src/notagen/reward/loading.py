"""Music encoders by name, and a cache of their features on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from notagen.errors import UserError
from notagen.reward.encoder import MusicEncoder


def load(name: str | Path) -> MusicEncoder:
    """Load an encoder, in evaluation mode.

    Args:
        name: a ``model/`` folder of stage m3 or of its judge, or a published CLaMP 2 ``.pth``.

    Raises:
        UserError: there is none, or it holds something else.
    """
    path = Path(name)
    try:
        if path.is_file():
            return MusicEncoder.from_published(path)
        if (path / "config.json").is_file():
            _check(path)
            return MusicEncoder.from_pretrained(path)
    except (ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot load a music encoder from {name}: {error}") from error
    raise UserError(
        f"there is no music encoder at {name}; train one with `python -m notagen.train stage=m3`, "
        "or give a published CLaMP 2 file (.pth)"
    )


def _check(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())
    if "feature_size" not in sizes:
        raise UserError(
            f"{folder} holds another model, not a music encoder; give the model/ folder of stage=m3"
        )


class Features:
    """An encoder that computes no text's features twice.

    What is new is written to a file of its own, under a name that no other process uses, and
    renamed when complete. So any number of processes may share a folder, also over a network.

    Args:
        encoder: computes what is not there yet.
        folder: of all encoders' features; each has its own folder in it, by its fingerprint.
    """

    def __init__(self, encoder: MusicEncoder, folder: str | Path) -> None:
        self.encoder = encoder
        self.folder = Path(folder) / encoder.fingerprint()[:16]
        self.known: dict[str, Tensor] = {}
        self.read: set[Path] = set()

    def encode(self, texts: Sequence[str]) -> Tensor:
        """As :meth:`MusicEncoder.encode`."""
        self._read()
        keys = [sha256(text.encode()).hexdigest() for text in texts]
        new = {k: text for k, text in zip(keys, texts, strict=True) if k not in self.known}
        if new:
            features = self.encoder.encode(list(new.values()))
            self._write(dict(zip(new, features, strict=True)))
        if not texts:
            return torch.empty(0, self.encoder.config.feature_size)
        return torch.stack([self.known[key] for key in keys])

    def _read(self) -> None:
        """Take in what other processes have written since."""
        for path in set(self.folder.glob("*.safetensors")) - self.read:
            self.known |= load_file(path)
            self.read.add(path)

    def _write(self, features: dict[str, Tensor]) -> None:
        self.known |= features
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{uuid4().hex}.safetensors"
        unfinished = path.with_suffix(".unfinished")
        save_file({key: feature.clone() for key, feature in features.items()}, unfinished)
        unfinished.rename(path)
        self.read.add(path)


def identity(encoder: Any) -> str | None:
    """A short text that tells one encoder from another: of ours, a hash of the weights."""
    if encoder is None:
        return None
    if isinstance(encoder, MusicEncoder):
        return encoder.fingerprint()[:16]
    return f"{type(encoder).__module__}.{type(encoder).__qualname__}"
