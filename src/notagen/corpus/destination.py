"""Where a prepared corpus goes: a folder of this machine, or any address that fsspec can write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from notagen.corpus.remote import is_url, open_place
from notagen.data import storage
from notagen.errors import UserError

_FIRST = "card.json"  # a folder that has it was begun by us
_LAST = "dataset_dict.json"  # a folder that has it is whole


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
