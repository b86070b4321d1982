"""Crash-safe files: replaced in one rename, appended to line by line, locked while written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from notagen.errors import UserError


@contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Yield a path to write a file or folder to; rename it to ``path`` when the block ends.

    Until then, whatever is at ``path`` stays as it is. If the block raises, what it has written is
    removed; a killed process leaves ``.<name>.unfinished``, which the next attempt removes. Parent
    folders are created.

    Args:
        path: the file or folder to create or replace.
        sync: flush a file to the disk before renaming it, so that it also survives a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    _remove(unfinished)
    try:
        yield unfinished
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk is told by the write, which names no file
        _remove(unfinished)
        raise
    if sync:
        _flush(unfinished)
    if unfinished.is_dir() and path.is_dir():
        shutil.rmtree(path)  # a rename replaces a file or an empty folder, nothing else
    unfinished.replace(path)


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole, or leave what was there."""
    with replacing(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def open_lines(path: Path) -> BinaryIO:
    """Open a file of lines for reading and appending; an unfinished last line is cut off.

    Such a line is left by a process that was killed while writing it. Parent folders are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b")
    if size := file.tell():  # an empty file cannot be mapped
        with mmap(file.fileno(), size, access=ACCESS_READ) as content:
            end = content.rfind(b"\n") + 1
        file.truncate(end)
    return file


def whole_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file that another process may be writing, without an unfinished last one."""
    with path.open("rb") as file:
        yield from (line for line in file if line.endswith(b"\n"))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file or folder that one process at a time may write, until the block ends.

    The lock is the system's, on ``.<name>.lock`` beside ``path``; it ends with its process,
    however that ends. The file stays.

    Raises:
        UserError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(
            f"another process is writing {path}; wait until it ends, or name another place"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
