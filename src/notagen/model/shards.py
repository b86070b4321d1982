"""Sharded checkpoints of torch.distributed.checkpoint: checked for pickles that run code, read."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

if TYPE_CHECKING:
    from torch.distributed.checkpoint.metadata import Metadata

_METADATA: Final = ".metadata"
_CHECKPOINT: Final = "torch.distributed.checkpoint"
_KNOWN: Final = {
    (f"{_CHECKPOINT}.metadata", "BytesStorageMetadata"),
    (f"{_CHECKPOINT}.metadata", "ChunkStorageMetadata"),
    (f"{_CHECKPOINT}.metadata", "Metadata"),
    (f"{_CHECKPOINT}.metadata", "MetadataIndex"),
    (f"{_CHECKPOINT}.metadata", "StorageMeta"),
    (f"{_CHECKPOINT}.metadata", "TensorProperties"),
    (f"{_CHECKPOINT}.metadata", "TensorStorageMetadata"),
    (f"{_CHECKPOINT}.metadata", "_MEM_FORMAT_ENCODING"),
    (f"{_CHECKPOINT}.filesystem", "_StorageInfo"),
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
}


class _MetadataUnpickler(pickle.Unpickler):
    """Unpickler that knows the classes of a checkpoint's metadata and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """Find a class of :data:`_KNOWN` or a torch dtype."""
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in _KNOWN and not is_dtype:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")
        return super().find_class(module, name)


def check(folder: Path) -> None:
    """Refuse shards that store anything but tensors and plain values.

    Call it before torch or Lightning reads ``folder``: both unpickle the metadata, and all values
    that are not tensors, unchecked.

    Raises:
        pickle.UnpicklingError: the folder is damaged or stores other objects.
        OSError: files are missing.
    """
    try:
        metadata = _MetadataUnpickler(io.BytesIO((folder / _METADATA).read_bytes())).load()
        _check_values(folder, metadata)
    except (AttributeError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise pickle.UnpicklingError(f"{folder} is damaged: {error}") from error


def optimizers(folder: Path) -> list[dict[str, Any]]:
    """State of each optimizer in a sharded folder, whole, for ``Optimizer.load_state_dict``.

    Raises:
        pickle.UnpicklingError: see :func:`check`.
    """
    from torch.distributed.checkpoint import filesystem, state_dict_loader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    check(folder)
    metadata = filesystem.FileSystemReader(folder).read_metadata()
    flat: dict[str, Any] = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        if isinstance(entry, TensorStorageMetadata)
        else None
        for name, entry in metadata.state_dict_metadata.items()
        if name.startswith("optimizer_")
    }
    state_dict_loader.load(flat, checkpoint_id=folder, no_dist=True)
    states: dict[str, dict[str, dict[Any, dict[str, Any]]]] = {}
    for name, value in flat.items():
        optimizer, part, of, key = metadata.planner_data[name]  # of a weight, or a group's number
        parts = states.setdefault(optimizer, {"state": {}, "param_groups": {}})
        parts[part].setdefault(of, {})[key] = value
    return [_numbered(**states[optimizer]) for optimizer in sorted(states)]


def _numbered(
    state: dict[str, dict[str, Any]], param_groups: dict[int, dict[str, Any]]
) -> dict[str, Any]:
    """Optimizer state by the numbers of weights, which shards know by their names."""
    groups = [param_groups[number] for number in sorted(param_groups)]
    names = [name for group in groups for name in group["params"]]
    numbers = {name: number for number, name in enumerate(names)}
    return {
        "state": {numbers[name]: moments for name, moments in state.items()},
        "param_groups": [
            {**group, "params": [numbers[name] for name in group["params"]]} for group in groups
        ],
    }


def _check_values(folder: Path, metadata: Metadata) -> None:
    """Read the values that are not tensors with ``weights_only``, which refuses classes."""
    from torch.distributed.checkpoint.metadata import BytesStorageMetadata

    values = {
        name
        for name, entry in metadata.state_dict_metadata.items()
        if isinstance(entry, BytesStorageMetadata)
    }
    for index, stored in metadata.storage_data.items():
        if index.fqn in values:
            with (folder / stored.relative_path).open("rb") as file:
                file.seek(stored.offset)
                content = io.BytesIO(file.read(stored.length))
            torch.load(content, weights_only=True)
