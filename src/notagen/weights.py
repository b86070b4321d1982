"""Weights by name: a stage's ``model/`` folder, a published ``.pth``, or a hub id."""

from __future__ import annotations

import re
from pathlib import Path

from notagen.errors import UserError
from notagen.model import NotaGen

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


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
