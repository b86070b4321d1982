"""Music encoders by name, and a cache of their features on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from notagen.atomic import replacing
from notagen.errors import UserError
from notagen.model.weights import fingerprint
from notagen.reward.encoder import EncoderConfig, MusicEncoder


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
    except (ValueError, TypeError, OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"cannot load a music encoder from {name}: {error}") from error
    raise UserError(
        f"there is no music encoder at {name}; train one with `python -m notagen.train stage=m3`, "
        "or give a published CLaMP 2 file (.pth)"
    )


def _check(folder: Path) -> None:
    sizes = json.loads((folder / "config.json").read_text())
    wanted = [field.name for field in fields(EncoderConfig) if field.default is MISSING]
    if not isinstance(sizes, dict) or any(name not in sizes for name in wanted):
        raise UserError(
            f"it holds another model, not a music encoder (its config.json lacks some of "
            f"{', '.join(wanted)}); give the model/ folder of stage=m3"
        )


def check(name: str, encoder: Encoder, text: str) -> None:
    """Encode one piece, before any work that ends in encoding.

    Raises:
        UserError: what comes is not one finite vector; the message begins with ``name``.
    """
    features = encoder.encode([text])
    if features.ndim != 2 or len(features) != 1 or not bool(features.isfinite().all()):
        raise UserError(
            f"{name} encodes one piece as {tuple(features.shape)} features, or as some that are "
            "not finite; an encoder gives finite [texts, features], and damaged weights do not"
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
        named = getattr(encoder, "fingerprint", None)
        self.name = None if named is None else str(named())
        self.folder = None if self.name is None else Path(folder) / self.name[:16]
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
        """Load the files that other processes have added; remove those that are damaged."""
        for path in set(folder.glob("*.safetensors")) - self.read:
            features = self._intact(path)
            if features is None:
                print(f"{path} is damaged or of another encoder; its features are computed again")
                path.unlink(missing_ok=True)
                continue
            self.known |= features
            self.read.add(path)

    def _intact(self, path: Path) -> dict[str, Tensor] | None:
        try:
            with safe_open(path, framework="pt") as file:
                features = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                written = file.metadata()
        except (SafetensorError, OSError, ValueError):
            return None
        return features if written == self._written(features) else None

    def _write(self, folder: Path, features: dict[str, Tensor]) -> None:
        self.known |= features
        path = folder / f"{uuid4().hex}.safetensors"
        # safetensors refuses tensors that share memory, as the rows of one matrix do.
        own = {key: feature.clone() for key, feature in features.items()}
        with replacing(path) as unfinished:
            save_file(own, unfinished, self._written(own))
        self.read.add(path)

    def _written(self, features: Mapping[str, Tensor]) -> dict[str, str]:
        """Metadata of a features file: its encoder, and a hash of its features."""
        return {"encoder": str(self.name), "features": fingerprint(dict(sorted(features.items())))}


def identity(encoder: Any) -> str | None:
    """A short text that tells one encoder from another: of ours, a hash of the weights."""
    if encoder is None:
        return None
    if isinstance(encoder, MusicEncoder):
        return encoder.fingerprint()[:16]
    return f"{type(encoder).__module__}.{type(encoder).__qualname__}"
