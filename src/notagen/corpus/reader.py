"""Reader: one score file to cleaned tunes with labels, or to rejections with reasons."""

from __future__ import annotations

import base64
import gc
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from notagen.corpus import formats
from notagen.corpus.composers import composer_name, read_composer
from notagen.corpus.dedup import signature
from notagen.corpus.differences import Differences, differences
from notagen.corpus.guards import RefusedError, check
from notagen.corpus.remote import local_file
from notagen.corpus.sources import UNKNOWN, Source
from notagen.errors import UserError
from notagen.notation import NotationError, Tune, clean, plain_line
from notagen.patches import encode, line_starts
from notagen.scores import ScoreError, read_each
from notagen.scores.source_notes import counts

if TYPE_CHECKING:
    from notagen.data.storage import Rejection, Row
    from notagen.prompts import Prompt

# Patches of a header: a window of a piece has it whole, and must have room for music. The smallest
# model that has a name sees 512.
_WIDEST: Final = 256

_POSITION = re.compile(r"\b(?:line|bar|measure) \d+")


class Piece(TypedDict):
    """A row of the corpus, its MinHash signature (uint32 [128]) in base64, and its differences.

    ``differences`` are the values of :class:`notagen.corpus.differences.Differences`, in order.
    """

    row: Row
    signature: str
    differences: Differences


class Outcome(TypedDict):
    """Result of reading a file: every tune in it is a piece or a rejection."""

    pieces: list[Piece]
    rejected: list[Rejection]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reader of score files of at most ``largest`` bytes, unpacked."""

    largest: int = 50_000_000

    def __post_init__(self) -> None:
        if self.largest < 1:
            raise UserError("limits.file_mb must be above 0, or every file is too large")

    def __call__(self, source: Source) -> Outcome:
        """Read a file; any error becomes a rejection."""
        if not formats.is_score(source.piece):
            return failed(source, f"other format: {formats.what_else(source.piece)}")
        try:
            with local_file(source.path, source.url, self.largest) as path:
                check(path, self.largest)
                # music21 warns about oddities of scores that it reads all the same.
                with warnings.catch_warnings(action="ignore"), _without_gc():
                    tunes = list(read_each(path))
                notes = counts(path)
                composer = "" if source.labels else read_composer(path)
        except RefusedError as error:
            return failed(source, f"refused: {error}")
        except MemoryError:
            return failed(source, "too large: reading it takes more than limits.memory_gb")
        except Exception as error:  # files fail in many ways, and none may stop the run
            return failed(source, f"unreadable: {error or type(error).__name__}")
        if not tunes:
            return failed(source, "unreadable: it holds no tune")
        outcome = Outcome(pieces=[], rejected=[])
        counted = notes if notes and len(notes) == len(tunes) else [None] * len(tunes)
        for number, (tune, written) in enumerate(zip(tunes, counted, strict=True), start=1):
            name = source.piece if len(tunes) == 1 else f"{source.piece}#{number}"
            try:
                if isinstance(tune, ScoreError):
                    raise UserError(f"unreadable: {tune}")
                own = composer_name(tune.field("C")) if len(tunes) > 1 else ""
                labels = source.labels or UNKNOWN._replace(composer=composer or own)
                outcome["pieces"].append(_piece(name, labels, tune, written))
            except UserError as error:
                outcome["rejected"].append(rejection(name, source.location, str(error)))
        return outcome


@contextmanager
def _without_gc() -> Iterator[None]:
    """Pause the garbage collector while a score is read, which saves a sixth of the time.

    It would traverse the growing score again and again, and find all of it still in use.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def failed(source: Source, reason: str) -> Outcome:
    """The outcome of a file that could not be read."""
    return Outcome(pieces=[], rejected=[rejection(source.piece, source.location, reason)])


def rejection(piece: str, file: str, reason: str) -> Rejection:
    """A rejected piece; its position is the line or bar that the reason names."""
    found = _POSITION.search(reason)
    return {"piece": piece, "file": file, "reason": reason, "position": found[0] if found else ""}


def _piece(name: str, labels: Prompt, tune: Tune, notes: int | None) -> Piece:
    """Row, signature and differences of a tune, whose file has a number of ``notes`` if known.

    Raises:
        UserError: the tune cannot be used.
    """
    try:
        tune = Tune.parse(clean(tune.to_interleaved()))
        key = tune.key
    except NotationError as error:
        raise UserError(f"unreadable: in its cleaned text, {error}") from error
    for number, voices in enumerate(tune.bars, start=1):
        for voice in tune.voices:
            if voice not in voices:
                raise UserError(f"uneven: voice {voice} has no bar {number} of {len(tune.bars)}")
    tune = tune.complete_rests()  # cleaning may leave a bar blank
    values = signature(tune)
    if values is None:
        raise UserError("silent: it has no note")
    text = tune.to_interleaved()
    header = int(line_starts(encode(text))[0])
    if header > _WIDEST:
        raise UserError(
            f"too wide: its header of {len(tune.voices)} voices takes {header} patches, and half "
            f"of the smallest context is {_WIDEST}"
        )
    row: Row = {
        "piece": name,
        "text": text,
        "period": plain_line(labels.period),
        "composer": plain_line(labels.composer),
        "instrumentation": plain_line(labels.instrumentation),
        "key": key,
        "bars": len(tune.bars),
        "voices": len(tune.voices),
        "characters": len(text),
    }
    return {
        "row": row,
        "signature": base64.b64encode(values.tobytes()).decode(),
        "differences": differences(tune, notes),
    }
