"""Weights by name: a stage's ``model/`` folder, a published ``.pth``, or a hub id."""

from __future__ import annotations

import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from notagen.errors import UserError
from notagen.model import NotaGen

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load_into(model: NotaGen, name: str) -> None:
    """Give ``model`` the weights of another, or of a training checkpoint (``.ckpt``).

    Raises:
        UserError: there are none, or they are of another size.
    """
    if name.endswith(".ckpt"):
        states = _checkpoint_weights(Path(name))
    else:
        states = dict(load(name).state_dict())
    own = model.state_dict()
    for key, weight in own.items():
        if key not in states:
            raise UserError(f"{name} has no {key}; it is not a checkpoint of a language model")
        if states[key].shape != weight.shape:
            raise UserError(
                f"{name} is of another size: its {key} is {list(states[key].shape)}, that of "
                f"this model {list(weight.shape)}; choose the model= it was trained with"
            )
    model.load_state_dict({key: states[key] for key in own})


def _checkpoint_weights(path: Path) -> dict[str, Tensor]:
    try:
        states = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except (OSError, KeyError, RuntimeError, UnpicklingError) as error:
        raise UserError(f"cannot read the checkpoint {path}: {error}") from error
    return {key.removeprefix("model."): weight for key, weight in states.items()}


def load(name: str) -> NotaGen:
    """Load a backbone, in evaluation mode.

    A hub id (``owner/name``) is the only thing that may touch the network.

    Raises:
        UserError: there is no such thing, or it holds other weights.
    """
    path = Path(name)
    try:
        if path.is_file():
            return NotaGen.from_published(path)
        if (path / "config.json").is_file() or (not path.exists() and _HUB_ID.fullmatch(name)):
            return NotaGen.from_pretrained(name).eval()
    except (ValueError, OSError) as error:
        raise UserError(f"cannot load weights from {name}: {error}") from error
    raise UserError(
        f"there are no weights at {name}; give a stage's model/ folder, a published .pth file "
        "or a hub id such as owner/name"
    )
