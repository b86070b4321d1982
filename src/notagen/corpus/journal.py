"""What has been read so far, on disk, so that a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Self

from notagen.corpus import remote
from notagen.corpus.reader import Outcome, Reader
from notagen.corpus.sources import Source


class Journal:
    """A file of one line a score: its key and its outcome.

    A line is written whole before its score counts as read. A last line that a killed run left
    unfinished is cut off, and its score read again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}  # where the line of each key starts

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b")
        self._file.seek(0)
        place = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(place)
                break
            self._places[json.loads(line)["key"]] = place
            place += len(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def add(self, key: str, outcome: Outcome) -> None:
        """Write down what became of a score."""
        self._file.seek(0, 2)
        self._places[key] = self._file.tell()
        self._file.write(json.dumps({"key": key, **outcome}).encode() + b"\n")
        self._file.flush()

    def __getitem__(self, key: str) -> Outcome:
        self._file.seek(self._places[key])
        outcome: Outcome = json.loads(self._file.readline())
        return outcome

    def remove(self) -> None:
        """Delete the file: the corpus is made."""
        self.path.unlink()


def key(source: Source, reader: Reader) -> str:
    """A name for a source as it is now: it changes with the file, its labels and the reader."""
    try:
        state = remote.state(source.url) if source.url else _state(source.path)
    except OSError:
        state = None  # reading it will say what is wrong
    known = repr((source.piece, source.labels, state, reader))
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes of {status.st_mtime_ns}"
