"""A journal of the scores read so far, so that a killed run continues where it stopped."""

from __future__ import annotations

import hashlib
import json
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Self

from notagen.atomic import open_lines
from notagen.corpus import remote
from notagen.corpus.reader import Outcome, Reader
from notagen.corpus.sources import Source


class Journal:
    """A file with one JSON line per score, ``{"key": ..., "pieces": [...], "rejected": [...]}``.

    A score counts as read once its line is complete. A last line that a killed run left unfinished
    is cut off, and its score is read again. Outcomes stay on disk; only offsets are in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets: dict[str, int] = {}  # of each key's line, in bytes

    def __enter__(self) -> Self:
        self._file = open_lines(self.path)
        self._file.seek(0)
        offset = 0
        for line in self._file:
            self._offsets[json.loads(line)["key"]] = offset
            offset += len(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def add(self, key: str, outcome: Outcome) -> None:
        """Append the outcome of a score."""
        self._offsets[key] = self._file.seek(0, SEEK_END)
        self._file.write(json.dumps({"key": key, **outcome}).encode() + b"\n")
        self._file.flush()

    def __getitem__(self, key: str) -> Outcome:
        self._file.seek(self._offsets[key])
        outcome: Outcome = json.loads(self._file.readline())
        return outcome

    def remove(self) -> None:
        """Delete the file, once the corpus is complete."""
        self.path.unlink()


def key(source: Source, reader: Reader) -> str:
    """Hash of a source's current state: its name, labels, file size and date, and its reader."""
    try:
        state = remote.state(source.url) if source.url else _state(source.path)
    except OSError:
        state = None  # the reader will report the error
    known = repr((source.piece, source.labels, state, reader))
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes of {status.st_mtime_ns}"
