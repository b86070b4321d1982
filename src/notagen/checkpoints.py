"""Training checkpoints on disk: written whole or not at all, and checked before a run goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor
from torch.distributed.checkpoint import filesystem, state_dict_loader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from notagen import shards
from notagen.errors import UserError

_META: Final = "meta.pt"  # what Lightning adds to a sharded folder: all but tensors
_NEEDED: Final = {"state_dict", "loops", "lr_schedulers"}


class AtomicCheckpointIO(TorchCheckpointIO):
    """One file, replaced in a single rename once it is on the disk.

    Lightning writes to the system's temporary folder and moves from there, which is a copy, and
    not atomic, where that is another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint``; what was at ``path`` stays until it is complete."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.unfinished")
        with unfinished.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's contents, weights as whole tensors on the CPU; of a folder of shards, too.

    Files are mapped into memory, so what is not looked at is not read. A folder's optimizer state
    is left out.
    """
    if path.is_dir():
        contents: dict[str, Any] = torch.load(path / _META, weights_only=True)
        contents["state_dict"] = _whole_weights(path)
    else:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return contents


def numbers(path: Path) -> dict[str, float]:
    """Of the last validation before a checkpoint, if there was one, and its optimizer ``steps``."""
    contents = read(path)
    return {**contents.get("validation", {}), "steps": contents["global_step"]}


def _whole_weights(folder: Path) -> dict[str, Tensor]:
    shards.check(folder)
    prefix = "state_dict."
    found = filesystem.FileSystemReader(folder).read_metadata().state_dict_metadata
    weights = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in found.items()
        if name.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
    }
    state_dict_loader.load(weights, checkpoint_id=folder, no_dist=True)
    return {name.removeprefix(prefix): weight for name, weight in weights.items()}


def check(path: Path, own: Mapping[str, Tensor]) -> None:
    """See that a run can go on from ``path``.

    Args:
        path: a file or folder.
        own: the weights of the stage that is to go on.

    Raises:
        UserError: it is damaged, or of something else, or of a model of another size.
    """
    try:
        contents = read(path)
        missing = _NEEDED - contents.keys()
    except (OSError, RuntimeError, ValueError, EOFError, AttributeError, UnpicklingError) as error:
        raise UserError(
            f"cannot go on from {path}: it is damaged or no checkpoint; put another in its place "
            f"({path.with_name('best.ckpt')} is one where it exists), or start anew with run=NAME"
        ) from error
    if missing:
        raise UserError(
            f"cannot go on from {path}: it has no {', '.join(sorted(missing))}; it was not "
            "written by this program (to start from its weights, give init_from=)"
        )
    weights = contents["state_dict"]
    for name, weight in own.items():
        if name not in weights:
            raise UserError(f"cannot go on from {path}: it has no weights named {name}")
        if weights[name].shape != weight.shape:
            raise UserError(
                f"cannot go on from {path}: its {name} is {list(weights[name].shape)}, that of "
                f"this model {list(weight.shape)}; give the model= and keys it was started with"
            )
