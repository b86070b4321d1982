"""Remote files through fsspec, such as s3://bucket/scores: read scores, write a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from notagen.corpus.guards import check_size
from notagen.data import storage
from notagen.errors import UserError

_FIRST = "card.json"  # a folder that has it was begun by us
_LAST = "dataset_dict.json"  # a folder that has it is whole


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
def local_file(path: Path, url: str, largest: int) -> Iterator[Path]:
    """A score as a file of this machine, fetched for as long as it is used if it must be.

    Args:
        path: the file; of a score at ``url``, its path there.
        url: empty for a file of this machine.
        largest: bytes that it may have.

    Raises:
        RefusedError: it has more than ``largest`` bytes, and is not fetched.
        OSError: it cannot be fetched.
    """
    if not url:
        yield path
        return
    files, remote = open_place(url)
    check_size(files.size(remote), largest)
    with TemporaryDirectory() as folder:
        local = Path(folder, f"score{path.suffix}")
        files.get_file(remote, str(local))
        yield local


def is_prepared(out: str) -> bool:
    """Whether a whole prepared corpus lies at ``out``."""
    if not is_url(out):
        return storage.is_prepared(Path(out))
    files, root = open_place(out)
    return bool(files.exists(f"{root}/{_LAST}"))


def check_writable(out: str) -> None:
    """Refuse to replace what is neither a prepared corpus, begun or whole, nor an empty folder.

    Raises:
        UserError: something else lies at ``out``.
    """
    if not is_url(out):
        storage.check_writable(Path(out))
        return
    files, root = open_place(out)
    ours = any(files.exists(f"{root}/{name}") for name in (_FIRST, _LAST))
    if not ours and (files.isfile(root) or (files.exists(root) and files.ls(root))):
        raise UserError(f"{out} holds something else than a corpus; give another folder as out=")


@contextmanager
def folder(out: str) -> Iterator[Path]:
    """The local folder in which a corpus for ``out`` is written.

    It is ``out`` itself, or a temporary one that is copied there and replaces what was there; the
    file by which a corpus is known goes last, so that half a copy is not taken for a corpus.
    """
    if not is_url(out):
        yield Path(out)
        return
    files, root = open_place(out)
    with TemporaryDirectory() as temporary:
        local = Path(temporary, Path(root).name)
        yield local
        if files.exists(root):
            files.rm(root, recursive=True)
        names = [path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()]
        for name in sorted(names, key=lambda name: (name == _LAST, name != _FIRST, name)):
            files.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            files.put_file(str(local / name), f"{root}/{name}")
