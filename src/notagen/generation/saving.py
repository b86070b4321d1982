"""Saving of generated pieces as scores, with an index; earlier pieces of a folder stay."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from notagen.atomic import open_lines, write
from notagen.errors import ScoreError, UserError
from notagen.notation import NotationError, Tune
from notagen.notation.bars import is_resting

if TYPE_CHECKING:
    from notagen.generation.engine import GeneratedPiece

INDEX = "index.jsonl"
"""File of a folder of pieces: a line for each that is finished, in that order."""

_NAME = re.compile(r"piece-(\d+)")  # of a piece's files, and in the index
_OPENED_FIRST = (".pdf", "-1.svg", ".musicxml", ".mid", ".abc")  # a page before a program


@dataclass(frozen=True)
class Saved:
    """Result of saving a generated piece: a line of ``index.jsonl``.

    Attributes:
        name: of its files, without suffix.
        seed: of the run that generated it.
        index: of the piece in that run; the same seed and index give the same piece again.
        finish_reason: value of its :class:`FinishReason`.
        bars: number of bars.
        aligned_bars: bars of equal duration in all voices.
        silent_voices: voices without a note.
        resamples: number of times a voice or a line was resampled for voices to agree.
        repairs: lines repaired by rule.
        sampled_patches: patches sampled.
        kept_patches: patches of the piece that are not the prompt's.
        problem: why only its text was saved; empty if there is a score.
    """

    name: str
    seed: int
    index: int
    finish_reason: str
    bars: int = 0
    aligned_bars: int = 0
    silent_voices: int = 0
    resamples: int = 0
    repairs: int = 0
    sampled_patches: int = 0
    kept_patches: int = 0
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """True if the piece has all its bars, is readable, and has no silent voice."""
        from notagen.generation.piece import FinishReason

        return (
            self.finish_reason == FinishReason.COMPLETE.value
            and not self.problem
            and self.silent_voices == 0
        )


def save(
    piece: GeneratedPiece, seed: int, folder: Path, number: int, formats: Sequence[str]
) -> Saved:
    """Write a piece in the given formats, and its text as generated, whole or not at all.

    Of a piece that cannot be read as a score only the text is written, and ``problem`` of the
    result is the reason.

    Args:
        piece: the piece.
        seed: that it was generated with.
        folder: for its files.
        number: of its files.
        formats: file formats: ``abc``, ``musicxml``, ``midi``, ``svg``, ``pdf``, ``wav``, ``mp3``.
    """
    stats = piece.stats
    saved = Saved(
        f"piece-{number:03d}",
        seed,
        piece.index,
        piece.finish_reason.value,
        resamples=stats.resamples,
        repairs=stats.repairs,
        sampled_patches=stats.sampled_patches,
        kept_patches=stats.kept_patches,
    )
    contents = {".txt": piece.text.encode()}
    try:
        tune = Tune.parse(piece.text).complete_rests()
        sheet = _Sheet(tune)
        rendered = [_RENDERERS[kind](sheet) for kind in formats]
    except (NotationError, ScoreError) as error:
        _write(contents, folder, saved.name)
        return replace(saved, problem=str(error))
    for files in rendered:
        contents |= files
    _write(contents, folder, saved.name)
    return replace(
        saved,
        bars=len(tune.bars),
        aligned_bars=sum(tune.aligned_bars()),
        silent_voices=sum(_is_silent(tune, voice) for voice in tune.voices),
    )


def _write(contents: Mapping[str, bytes], folder: Path, name: str) -> None:
    """Write a piece's files, by the ends of their names; none if one cannot be written."""
    written: list[Path] = []
    try:
        for end, content in contents.items():
            written.append(folder / f"{name}{end}")
            write(written[-1], content)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def check_formats(formats: Sequence[str]) -> None:
    """Check that there are formats, and all are known.

    Raises:
        UserError: a format is unknown, or there is none.
    """
    for kind in formats or ["[]"]:
        if kind not in _RENDERERS:
            raise UserError(f"format {kind} is unknown; choose from {', '.join(_RENDERERS)}")


def next_number(folder: Path) -> int:
    """The number after those of all pieces that are in a folder or in its index."""
    index = folder / INDEX
    listed = index.read_text() if index.is_file() else ""
    names = " ".join(path.name for path in folder.glob("piece-*"))
    return 1 + max(map(int, _NAME.findall(f"{listed} {names}")), default=0)


def add_to_index(saved: Saved, folder: Path) -> None:
    """Append a line to ``index.jsonl``, after the piece's files: it marks them as whole."""
    with open_lines(folder / INDEX) as index:
        index.write(f"{json.dumps(asdict(saved))}\n".encode())


def first_to_open(saved: Sequence[Saved], folder: Path) -> Path | None:
    """The file of the first readable piece that a person would open first; None without one."""
    files = (
        folder / f"{piece.name}{end}" for piece in saved if piece.bars for end in _OPENED_FIRST
    )
    return next((file for file in files if file.is_file()), None)


def summary(saved: Sequence[Saved]) -> Iterator[str]:
    """Summary lines: incomplete pieces with their reasons, then totals."""
    from notagen.generation.piece import FinishReason

    for piece in saved:
        if not piece.is_complete:
            reason = piece.problem or f"{piece.silent_voices} silent voices"
            if piece.finish_reason != FinishReason.COMPLETE.value:
                reason = f"{piece.finish_reason}; {reason}"
            yield f"{piece.name} is not complete: {reason}"
    yield f"complete pieces: {sum(piece.is_complete for piece in saved)} of {len(saved)}"
    bars = sum(piece.bars for piece in saved)
    aligned = sum(piece.aligned_bars for piece in saved)
    yield f"bars that last as long in all voices: {aligned} of {bars}"
    resamples = sum(piece.resamples for piece in saved)
    repairs = sum(piece.repairs for piece in saved)
    yield f"resampled for that: {resamples} times; bars repaired by rule: {repairs}"
    drawn = sum(piece.sampled_patches for piece in saved)
    kept = sum(piece.kept_patches for piece in saved)
    yield f"patches sampled for each one kept: {drawn / max(kept, 1):.2f}"


def _is_silent(tune: Tune, voice: str) -> bool:
    return all(is_resting(bar[voice].text) for bar in tune.bars)


class _Sheet:
    """A tune and its engraved pages, which are made once for SVG and PDF."""

    def __init__(self, tune: Tune) -> None:
        self.tune = tune

    @cached_property
    def pages(self) -> list[str]:
        from notagen.scores.engrave import svg

        return svg(self.tune)


# music21 and verovio take seconds to start: each renderer imports what it needs.


def _abc(sheet: _Sheet) -> dict[str, bytes]:
    return {".abc": f"X:1\n{sheet.tune.to_standard()}".encode()}


def _musicxml(sheet: _Sheet) -> dict[str, bytes]:
    from notagen.scores import to_musicxml

    return {".musicxml": to_musicxml(sheet.tune).encode()}


def _midi(sheet: _Sheet) -> dict[str, bytes]:
    from notagen.scores import to_midi

    return {".mid": to_midi(sheet.tune)}


def _svg(sheet: _Sheet) -> dict[str, bytes]:
    return {f"-{number}.svg": page.encode() for number, page in enumerate(sheet.pages, 1)}


def _pdf(sheet: _Sheet) -> dict[str, bytes]:
    from notagen.scores.engrave import pdf

    return {".pdf": pdf(sheet.pages)}


def _wav(sheet: _Sheet) -> dict[str, bytes]:
    from notagen.scores.audio import wav

    return {".wav": wav(sheet.tune)}


def _mp3(sheet: _Sheet) -> dict[str, bytes]:
    from notagen.scores.audio import mp3

    return {".mp3": mp3(sheet.tune)}


_RENDERERS: dict[str, Callable[[_Sheet], dict[str, bytes]]] = {
    "abc": _abc,
    "musicxml": _musicxml,
    "midi": _midi,
    "svg": _svg,
    "pdf": _pdf,
    "wav": _wav,
    "mp3": _mp3,
}
"""Contents of a score's files in each format, by the ends of their names."""
