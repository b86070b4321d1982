"""Music encoders by name: a folder that ``stage=m3`` wrote, or the published CLaMP 2."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError

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
