"""Features that were computed before, on disk, by what they are of."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from notagen.reward.encoder import MusicEncoder


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
