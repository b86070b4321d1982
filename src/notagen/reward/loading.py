"""Music encoders by name, and a cache of their features on disk."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from notagen.atomic import replacing
from notagen.errors import UserError
from notagen.reward.encoder import MusicEncoder


class Encoder(Protocol):
    """Any object that computes features of pieces: ours, or a reward model of your own.

    If it also has ``fingerprint() -> str``, a name that changes with its weights, :class:`Features`
    caches what it computes.
    """

    def encode(self, texts: list[str], /) -> Tensor:
        """Features of pieces in ABC notation, float32 [texts, d] on the CPU; [0, d] of none."""
        ...


def load(name: str | Path) -> MusicEncoder:
    """Load an encoder of this project, in evaluation mode.

    Args:
        name: a ``model/`` folder of stage m3 or of its judge, or a published CLaMP 2 ``.pth``.

    Raises:
        UserError: there is no such file or folder, or it holds something else.
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
    """An encoder with a cache of its features on disk, keyed by text.

    New features go to a file whose name no other process uses, renamed into place when complete.
    So any number of processes may share a folder, also over a network.

    Args:
        encoder: computes missing features; without a ``fingerprint()``, nothing is cached.
        folder: the cache of all encoders, with a subfolder for each, named by its fingerprint.
    """

    def __init__(self, encoder: Encoder, folder: str | Path) -> None:
        self.encoder = encoder
        fingerprint = getattr(encoder, "fingerprint", None)
        self.folder = None if fingerprint is None else Path(folder) / fingerprint()[:16]
        self.known: dict[str, Tensor] = {}  # SHA-256 of a text -> features [d]
        self.read: set[Path] = set()

    def encode(self, texts: list[str], /) -> Tensor:
        """Features of pieces, float32 [texts, d], on the CPU."""
        if self.folder is None or not texts:
            return self.encoder.encode(texts)
        self._read(self.folder)
        keys = [sha256(text.encode()).hexdigest() for text in texts]
        new = {k: text for k, text in zip(keys, texts, strict=True) if k not in self.known}
        if new:
            features = self.encoder.encode(list(new.values()))
            self._write(self.folder, dict(zip(new, features, strict=True)))
        return torch.stack([self.known[key] for key in keys])

    def _read(self, folder: Path) -> None:
        """Load the files that other processes have added."""
        for path in set(folder.glob("*.safetensors")) - self.read:
            self.known |= load_file(path)
            self.read.add(path)

    def _write(self, folder: Path, features: dict[str, Tensor]) -> None:
        self.known |= features
        path = folder / f"{uuid4().hex}.safetensors"
        with replacing(path) as unfinished:
            # safetensors refuses tensors that share memory, as the rows of one matrix do.
            save_file({key: feature.clone() for key, feature in features.items()}, unfinished)
        self.read.add(path)


def identity(encoder: Any) -> str | None:
    """A short text that tells one encoder from another: of ours, a hash of the weights."""
    if encoder is None:
        return None
    if isinstance(encoder, MusicEncoder):
        return encoder.fingerprint()[:16]
    return f"{type(encoder).__module__}.{type(encoder).__qualname__}"
