"""Crash-safe files: replaced in one rename, appended to line by line, locked while written."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from filelock import FileLock, Timeout

from notagen.errors import UserError


@contextmanager
def replacing(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Yield a path to write a file or folder to; rename it to ``path`` when the block ends.

    Until then, whatever is at ``path`` stays as it is; if the block raises, what it has written is
    removed. A folder is moved aside whole before the new one takes its place, and removed last, so
    that a process that is killed leaves the old or the new, never a part of one: what it leaves as
    ``.<name>.unfinished`` and ``.<name>.former`` the next attempt puts back or removes. Files have
    the permissions that the umask gives. Parent folders are created.

    Args:
        path: the file or folder to create or replace.
        sync: flush all that was written to the disk before renaming it, so that it also survives a
            power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished, former = _beside(path)
    restore(path)
    _remove(unfinished)
    try:
        yield unfinished
        _open_to_others(unfinished)
        if sync:
            _flush(unfinished)
        # A rename replaces a file by a file, and nothing else.
        if os.path.lexists(path) and (_is_folder(unfinished) or _is_folder(path)):
            path.replace(former)
        unfinished.replace(path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk is told by the write, which names no file
        restore(path)
        _remove(unfinished)
        raise
    _discard(former, unfinished)


def restore(path: Path) -> None:
    """Finish what a process was killed in that was replacing a folder by another.

    If it had moved the old one aside and nothing is in its place yet, the old one is put back; if
    the new one is, the old one is removed. No other process may be replacing ``path``.
    """
    unfinished, former = _beside(path)
    if not os.path.lexists(former):
        return
    if os.path.lexists(path):
        _discard(former, unfinished)
    else:
        former.replace(path)


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


def check_new(path: Path) -> None:
    """See, before any work, that a file or folder can be made where there is none.

    Raises:
        UserError: there is something already, other than an empty folder, or nothing can be
            written there.
    """
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} exists; give another name as out=, or remove it")
    check_writable(path)


def check_writable(path: Path) -> None:
    """See, before any work, that something can be written at ``path``; make its parent folders.

    Raises:
        UserError: it cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


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


def _beside(path: Path) -> tuple[Path, Path]:
    """Paths where the new one is written, and where the old one waits meanwhile."""
    return path.with_name(f".{path.name}.unfinished"), path.with_name(f".{path.name}.former")


def _discard(former: Path, unfinished: Path) -> None:
    """Remove what was replaced, under the name of what is never put back: it may end half-way."""
    if os.path.lexists(former):
        _remove(unfinished)
        former.replace(unfinished)
        _remove(unfinished)


def _open_to_others(path: Path) -> None:
    """Let others do with files what the umask lets them; some libraries write for the user alone.

    Safetensors does, and whatever begins with a temporary file.
    """
    umask = os.umask(0o077)  # there is no way to read it without setting it
    os.umask(umask)
    for file in (path, *path.rglob("*")):
        mode = file.lstat().st_mode
        if not mode & 0o077 and not stat.S_ISLNK(mode):
            file.chmod(mode | (0o777 if stat.S_ISDIR(mode) else 0o666) & ~umask)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _flush(path: Path) -> None:
    for file in (path, *path.rglob("*")):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
