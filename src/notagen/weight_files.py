"""Published checkpoints as files: weights by their names, read without running what they hold."""

from __future__ import annotations

import zipfile
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def read(path: str | Path, kind: str) -> Weights:
    """The weights in a file of ``torch.save({"model": weights, ...})``, or of the weights alone.

    Args:
        path: the file.
        kind: what it is meant to be a checkpoint of, for the message.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is something else; the message names the file and the reason.
    """
    # Other files make the unpickler raise almost anything, so they do not get that far.
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


def check(weights: Weights, expected: Weights, path: str | Path, kind: str) -> None:
    """Compare names and shapes with those of a model.

    Raises:
        ValueError: it tells the first that differs.
    """
    for name in sorted(weights.keys() | expected.keys()):
        if name not in weights or name not in expected:
            what = "unknown" if name in weights else "missing"
            raise ValueError(f"{path} is not a {kind} checkpoint: {name} is {what}")
        found, wanted = tuple(weights[name].shape), tuple(expected[name].shape)
        if found != wanted:
            raise ValueError(f"{path} does not fit: {name} is {found} and should be {wanted}")
