"""Remote files through fsspec (``s3://bucket/scores``): fetch scores, upload a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from notagen.corpus.guards import check_size
from notagen.data import storage
from notagen.errors import UserError

# Of a corpus, the card is uploaded first, since a folder that has it may be replaced, and the file
# that marks it as complete last.


def is_url(location: str) -> bool:
    """True if a location is an address for fsspec, not a local path."""
    return "://" in location


def open_url(url: str) -> tuple[AbstractFileSystem, str]:
    """File system of an address, and the path in it.

    Raises:
        UserError: fsspec does not know the protocol, or its package is not installed.
    """
    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot open {url}: {error}") from error
    return files, path.rstrip("/")


def find(url: str) -> dict[str, str]:
    """All files below an address: relative path -> address."""
    files, root = open_url(url)
    return {path[len(root) + 1 :]: files.unstrip_protocol(path) for path in files.find(root)}


def state(url: str) -> str:
    """A token that changes whenever the file changes.

    Raises:
        OSError: the file cannot be accessed.
    """
    files, path = open_url(url)
    return str(files.ukey(path))


@contextmanager
def local_file(path: Path, url: str, largest: int) -> Iterator[Path]:
    """Yield a local path to a score; a remote one is downloaded for the duration of the block.

    Args:
        path: the file; for a remote score, its path below the remote folder.
        url: its address; empty for a local file.
        largest: maximum size in bytes.

    Raises:
        RefusedError: a remote file is larger than ``largest``; it is not downloaded.
        OSError: it cannot be downloaded.
    """
    if not url:
        yield path
        return
    files, remote = open_url(url)
    check_size(files.size(remote), largest)
    with TemporaryDirectory() as folder:
        local = Path(folder, f"score{path.suffix}")
        files.get_file(remote, str(local))
        yield local


def is_prepared(out: str) -> bool:
    """True if a complete prepared corpus lies at ``out``."""
    if not is_url(out):
        return storage.is_prepared(Path(out))
    files, root = open_url(out)
    return bool(files.exists(f"{root}/{storage.WHOLE}"))


def made_with(out: str) -> dict[str, Any] | None:
    """Provenance of the corpus at ``out``, see :func:`notagen.data.storage.made_with`."""
    if not is_url(out):
        card = Path(out, storage.CARD)
        return storage.made_with(card.read_bytes() if card.is_file() else None)
    files, root = open_url(out)
    card_url = f"{root}/{storage.CARD}"
    return storage.made_with(files.cat_file(card_url) if files.exists(card_url) else None)


def check_writable(out: str) -> None:
    """Refuse to replace anything but a prepared corpus, complete or not, or an empty folder.

    Raises:
        UserError: something else lies at ``out``.
    """
    if not is_url(out):
        storage.check_writable(Path(out))
        return
    files, root = open_url(out)
    there = files.isfile(root) or (files.exists(root) and files.ls(root))
    if there and made_with(out) is None:
        raise storage.foreign(out)


@contextmanager
def folder(out: str) -> Iterator[Path]:
    """Yield a local folder to write a corpus to; upload it if ``out`` is remote.

    An upload replaces what was there, with no lock against another process's. The file that marks
    a complete corpus goes last, so that an interrupted upload is not taken for a corpus.
    """
    if not is_url(out):
        yield Path(out)
        return
    files, root = open_url(out)
    with TemporaryDirectory() as temporary:
        local = Path(temporary, Path(root).name)
        yield local
        if files.exists(root):
            files.rm(root, recursive=True)
        names = [path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()]
        for name in sorted(
            names, key=lambda name: (name == storage.WHOLE, name != storage.CARD, name)
        ):
            files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            files.put_file(str(local / name), f"{root}/{name}")
