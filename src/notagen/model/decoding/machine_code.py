"""Compilation of functions to machine code by numba, kept on disk between processes.

numba's own cache ends a program where a file of it is damaged or no folder can be written, and
processes that compile for different processors or types share an index. Here every signature,
processor and version of the sources has a file of its own, with a checksum.
"""

import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

Function = TypeVar("Function", bound=Callable[..., Any])

_CHECKSUM = sha256().digest_size


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Decorator: compile a function at its first call.

    Args:
        options: those of ``numba.njit``.
    """

    def decorate(function: Function) -> Function:
        dispatcher = numba.njit(**options)(function)
        with suppress(RuntimeError):  # No folder can be written: every process compiles anew.
            dispatcher._cache = MachineCode(function)  # what njit(cache=True) sets
        return cast(Function, dispatcher)

    return decorate


class MachineCode(FunctionCache):  # type: ignore[misc]
    """Machine code of one function, in files of the folder that numba chooses."""

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Machine code for a signature; None if there is none, or it is damaged."""
        target_context.refresh()
        try:
            content = self._file(signature, target_context.codegen()).read_bytes()
        except OSError:
            return None
        checksum, code = content[:_CHECKSUM], content[_CHECKSUM:]
        if sha256(code).digest() != checksum:
            return None
        return self._impl.rebuild(target_context, pickle.loads(code))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Save machine code, in one rename, so that another process reads all of it or none."""
        if not self._impl.check_cachable(result):
            return
        code = dumps(self._impl.reduce(result))
        path = self._file(signature, result.codegen)
        with (
            suppress(OSError),  # Without room on the disk, the next process compiles anew.
            TemporaryDirectory(dir=path.parent) as folder,
        ):
            unfinished = Path(folder, path.name)
            unfinished.write_bytes(sha256(code).digest() + code)
            unfinished.replace(path)

    def _file(self, signature: Any, codegen: Any) -> Path:
        key = self._index_key(signature, codegen), numba.__version__, _sources()
        digest = sha256(repr((key, self._impl.locator.get_source_stamp())).encode()).hexdigest()
        return Path(self._cache_path, f"{self._impl.filename_base}-{digest[:16]}.nbc")


@cache
def _sources() -> str:
    """Hash of the sources in this folder, which compiled functions take from one another."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
