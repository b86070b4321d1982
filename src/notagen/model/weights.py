"""Weights by name: a ``model/`` folder, a ``.ckpt``, a published ``.pth``, or a hub id."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from ssl import SSLError
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch
from huggingface_hub import constants, hf_hub_download, list_repo_files
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError
from torch import Tensor

from notagen.atomic import replacing
from notagen.errors import UserError
from notagen.model import shards
from notagen.model.notagen import NotaGen

_HUB_FOLDER: Final = re.compile(r"[\w.-]+/[\w.-]+(?<!\.pth)(?<!\.ckpt)")
_HUB_FILE: Final = re.compile(r"([\w.-]+/[\w.-]+)/(.+\.pth)")
SIZES: Final = ("patch_layers", "char_layers", "hidden_size", "patch_length")

_LARGEST: Final = 1 << 20  # of a size
_PATIENCE: Final = 10  # seconds for the hub's first answer

_META: Final = "meta.pt"  # Lightning's file in a sharded folder: everything but the tensors


def load(name: str) -> NotaGen:
    """Load a model in evaluation mode; adapters are merged.

    Only a hub id (``owner/name``, or ``owner/name/file.pth`` for a published file) uses the
    network; offline, the hub's cache serves it.

    Raises:
        UserError: there are no weights of that name, or they are not NotaGen's.
    """
    path = Path(name)
    with explaining(name):
        if path.suffix == ".ckpt" and path.exists():
            return load_checkpoint(path)
        if path.is_file():
            return NotaGen.from_published(path)
        if (path / "config.json").is_file():
            _check_sizes(path / "config.json")
            return NotaGen.from_pretrained(name)
        if not path.exists() and (file := _HUB_FILE.fullmatch(name)):
            return NotaGen.from_published(_download(*file.groups()))
        if not path.exists() and _HUB_FOLDER.fullmatch(name):
            _download(name, "config.json")
            return NotaGen.from_pretrained(Path(_download(name, "model.safetensors")).parent)
    raise UserError(
        f"there are no weights at {name}; give a stage's model/ folder, a .ckpt, a published .pth "
        "file or a hub id such as owner/name or owner/name/file.pth"
    )


def load_into(
    model: NotaGen, other: NotaGen, name: str, sizes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Copy weights into a model of the same size.

    Args:
        model: changed in place.
        other: the weights, see :func:`load`.
        name: theirs, for the message.
        sizes: sizes of all known models by name; when they differ, the message names the fitting.

    Raises:
        UserError: they are of another size.
    """
    found, wanted = asdict(other.config), asdict(model.config)
    if any(found[key] != wanted[key] for key in SIZES):
        listed = ", ".join(f"{key} {found[key]}" for key in SIZES if found[key] != wanted[key])
        known = fitting(other, sizes)
        choice = " or ".join(f"model={each}" for each in known) or "the sizes it has"
        raise UserError(f"{name} is of another size ({listed}); choose {choice}")
    model.load_state_dict(other.state_dict())


def fitting(model: NotaGen, sizes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of those sizes that a model has."""
    return [
        name
        for name, size in sizes.items()
        if all(size.get(key) == getattr(model.config, key) for key in SIZES)
    ]


def save(model: NotaGen, out: Path) -> None:
    """Write weights atomically; adapters are merged into the model first.

    Args:
        model: the model.
        out: a file of the published layout if it ends in ``.pth``, else a folder with
            ``config.json`` and ``model.safetensors``; replaced if it exists.
    """
    if model.lora is not None:
        model.merge_adapters()
    if out.suffix == ".pth":
        with replacing(out) as unfinished:
            model.save_published(unfinished)
    else:
        model.save_whole(out)


def fingerprint(weights: Mapping[str, Tensor], sizes: str = "") -> str:
    """SHA-256 of weights, their names, and a description of the model's sizes; hexadecimal."""
    digest = hashlib.sha256(sizes.encode())
    for name, weight in weights.items():
        digest.update(name.encode())
        digest.update(weight.cpu().numpy().tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path, kind: type[NotaGen] = NotaGen) -> NotaGen:
    """Load the backbone out of a training checkpoint, in evaluation mode; adapters are merged.

    Args:
        path: a ``.ckpt``, a file or a folder of shards.
        kind: the class of the backbone, where it is one of your own.

    Raises:
        KeyError: it is no checkpoint of a language model.
    """
    checkpoint = read_checkpoint(path)
    model = kind.of_sizes(checkpoint["hyper_parameters"]["sizes"])
    prefix = "model."
    model.load_state_dict(
        {
            key.removeprefix(prefix): weight
            for key, weight in checkpoint["state_dict"].items()
            if key.startswith(prefix)
        }
    )
    if model.lora is not None:
        model.merge_adapters()
    return model.eval()


def _download(repository: str, file: str) -> str:
    """Download a file of the hub; offline, or where it is up to date, use the cache."""
    try:
        return hf_hub_download(repository, file, local_files_only=not _hub_answers())
    except RemoteEntryNotFoundError:
        published = [name for name in list_repo_files(repository) if name.endswith(".pth")]
        choices = ", ".join(f"{repository}/{name}" for name in published) or "none"
        raise UserError(
            f"{repository} has no {file}; published files that it has: {choices}"
        ) from None
    except RepositoryNotFoundError as error:
        raise UserError(
            f"there is no {repository} on this machine, and none on the hub that you may read; "
            "check the name, or log in with `hf auth login`"
        ) from error
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"{file} of {repository} is not in the hub's cache, and the hub cannot be reached; "
            "connect once, or give a file"
        ) from error
    except HfHubHTTPError as error:
        raise UserError(f"the hub did not give {file} of {repository}: {error}") from error


@cache
def _hub_answers() -> bool:
    """Ask once, since huggingface_hub repeats every request for most of a minute."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=_PATIENCE).close()
    except HTTPError:  # an answer
        return True
    except URLError as error:
        # Certificates are huggingface_hub's affair, which has its own.
        return isinstance(error.reason, SSLError)
    except OSError:
        return False
    return True


def _check_sizes(file: Path) -> None:
    """Check that ``config.json`` describes a NotaGen."""
    try:
        sizes = json.loads(file.read_text())
    except ValueError:  # no JSON, or no text
        sizes = None
    if not isinstance(sizes, dict) or not all(_is_size(sizes.get(name)) for name in SIZES):
        raise UserError(
            f"cannot load weights from {file.parent}: it holds another model than a NotaGen, maybe "
            f"an encoder of stage=m3: config.json has no whole numbers {', '.join(SIZES)}; give "
            "the model/ folder of stage pretrain, posttrain, finetune or dpo"
        )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and 0 < value <= _LARGEST


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn the errors of the libraries that read files into a UserError that names the file."""
    try:
        yield
    except UserError:
        raise
    except KeyError as error:
        raise UserError(
            f"cannot load weights from {name}: it is not a checkpoint of a language model, since "
            f"it lacks {error}"
        ) from error
    except (OSError, ValueError, TypeError, RuntimeError, EOFError) as error:
        raise UserError(f"cannot load weights from {name}: {error}") from error
    except (UnpicklingError, SafetensorError) as error:
        raise UserError(
            f"cannot load weights from {name}: it is damaged or another kind of file"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, a file or a folder of shards; weights become whole tensors on the CPU.

    Files are mapped into memory, so unused parts are not read. Of a folder the optimizer state is
    left out.
    """
    if path.is_dir():
        contents: dict[str, Any] = torch.load(path / _META, weights_only=True)
        contents["state_dict"] = _whole_weights(path)
    else:
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return contents


def _whole_weights(folder: Path) -> dict[str, Tensor]:
    shards.check(folder)
    prefix = "state_dict."
    # Half a second of imports that only sharded checkpoints need.
    from torch.distributed.checkpoint import filesystem, state_dict_loader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    found = filesystem.FileSystemReader(folder).read_metadata().state_dict_metadata
    weights = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in found.items()
        if name.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
    }
    state_dict_loader.load(weights, checkpoint_id=folder, no_dist=True)
    return {name.removeprefix(prefix): weight for name, weight in weights.items()}
