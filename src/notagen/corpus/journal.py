"""A journal of the scores read so far, so that a killed run continues where it stopped."""

from __future__ import annotations

import hashlib
import json
import zlib
from os import SEEK_END
from pathlib import Path
from types import TracebackType
from typing import Self

from notagen.atomic import open_lines
from notagen.corpus import remote
from notagen.corpus.reader import Outcome, Piece, Reader
from notagen.corpus.sources import Source
from notagen.corpus.workers import Limits


class Journal:
    """A file with one line per score: a checksum, ``{"key": ..., "pieces": [], "rejected": []}``.

    A score counts as read once its line is complete. A last line that a killed run left unfinished
    is cut off, and its score is read again; so is that of a line that does not fit its checksum.
    Outcomes stay on disk; only offsets are in memory.

    Attributes:
        damaged: lines that were skipped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self._offsets: dict[str, int] = {}  # of each key's line, in bytes

    def __enter__(self) -> Self:
        self._file = open_lines(self.path)
        self._file.seek(0)
        offset = 0
        for line in self._file:
            outcome = _parse(line)
            if outcome is None:
                self.damaged += 1
            else:
                self._offsets[outcome["key"]] = offset  # type: ignore[typeddict-item]
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
        text = json.dumps({"key": key, **outcome}).encode()
        self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._file.flush()

    def __getitem__(self, key: str) -> Outcome:
        self._file.seek(self._offsets[key])
        outcome = _parse(self._file.readline())
        assert outcome is not None  # it was whole when the journal was opened, or written since
        return outcome

    def remove(self) -> None:
        """Delete the file, once the corpus is complete."""
        self.path.unlink()


def _parse(line: bytes) -> Outcome | None:
    """The outcome in a line; None if the line is not what was written."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    outcome: Outcome = json.loads(text)
    return outcome


def key(source: Source, reader: Reader, limits: Limits) -> str:
    """Hash of what decides how a file is read.

    Its name, labels, size and date, its reader, the limits that may stop it, and what is kept: a
    journal of another version is read anew.
    """
    try:
        state = remote.state(source.url) if source.url else _state(source.path)
    except OSError:
        state = None  # the reader will report the error
    known = repr((source.piece, source.labels, state, reader, limits, [*Piece.__annotations__]))
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def _state(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} bytes of {status.st_mtime_ns}"
