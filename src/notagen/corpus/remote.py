"""Files in other places: whatever fsspec has an address for, such as s3://bucket/scores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from notagen.corpus.guards import check_size
from notagen.corpus.sources import Source
from notagen.errors import UserError


def is_url(place: str) -> bool:
    """Whether fsspec is asked for it; every other place is a path of this machine."""
    return "://" in place


def open_place(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of an address, and the path in it.

    Raises:
        UserError: fsspec has nothing for such an address, or its package is not installed.
    """
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot open {url}: {error}") from error
    return files, path.rstrip("/")


def find(url: str) -> dict[str, str]:
    """The files below an address: their addresses by their paths from there."""
    files, root = open_place(url)
    return {path[len(root) + 1 :]: files.unstrip_protocol(path) for path in files.find(root)}


def state(url: str) -> str:
    """Something that changes with the file.

    Raises:
        OSError: it cannot be looked at.
    """
    files, path = open_place(url)
    return str(files.ukey(path))


@contextmanager
def local_file(source: Source, largest: int) -> Iterator[Path]:
    """A score as a file of this machine, fetched for as long as it is used if it must be.

    Raises:
        RefusedError: it has more than ``largest`` bytes, and is not fetched.
        OSError: it cannot be fetched.
    """
    if not source.url:
        yield source.path
        return
    files, path = open_place(source.url)
    check_size(files.size(path), largest)
    with TemporaryDirectory() as folder:
        local = Path(folder, f"score{source.path.suffix}")
        files.get_file(path, str(local))
        yield local
