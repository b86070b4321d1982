"""Saving of generated pieces as scores, with an index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from notagen.atomic import write
from notagen.errors import ScoreError, UserError
from notagen.notation import NotationError, Tune
from notagen.notation.bars import is_resting

if TYPE_CHECKING:
    from notagen.generation.engine import GeneratedPiece

_INDEX = "index.jsonl"
_OPENED_FIRST = (".pdf", "-1.svg", ".musicxml", ".mid", ".abc")  # a page before a program


@dataclass(frozen=True)
class Saved:
    """Result of saving a generated piece: a line of ``index.jsonl``.

    Attributes:
        name: of its files, without suffix.
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


def save(piece: GeneratedPiece, folder: Path, formats: Sequence[str]) -> Saved:
    """Write a piece in the given formats, and its text as generated.

    Of a piece that cannot be read as a score only the text is written, and ``problem`` of the
    result is the reason. Files of an earlier piece of the same number are removed.
    """
    name = f"piece-{piece.index + 1:03d}"
    for earlier in (*folder.glob(f"{name}.*"), *folder.glob(f"{name}-*.svg")):
        earlier.unlink()
    write(folder / f"{name}.txt", piece.text)
    stats = piece.stats
    saved = Saved(
        name,
        piece.finish_reason.value,
        resamples=stats.resamples,
        repairs=stats.repairs,
        sampled_patches=stats.sampled_patches,
        kept_patches=stats.kept_patches,
    )
    try:
        tune = Tune.parse(piece.text).complete_rests()
        sheet = _Sheet(tune)
        for kind in formats:
            _WRITERS[kind](sheet, folder / name)
    except (NotationError, ScoreError) as error:
        return replace(saved, problem=str(error))
    return replace(
        saved,
        bars=len(tune.bars),
        aligned_bars=sum(tune.aligned_bars()),
        silent_voices=sum(_is_silent(tune, voice) for voice in tune.voices),
    )


def check_formats(formats: Sequence[str]) -> None:
    """Check that all formats are known.

    Raises:
        UserError: a format is unknown.
    """
    for kind in formats:
        if kind not in _WRITERS:
            raise UserError(f"format {kind} is unknown; choose from {', '.join(_WRITERS)}")


def write_index(saved: Sequence[Saved], folder: Path) -> None:
    """Write ``index.jsonl``, one line per piece; as the last file, it marks the folder as whole."""
    lines = "".join(json.dumps(asdict(piece)) + "\n" for piece in saved)
    write(folder / _INDEX, lines)


def first_to_open(saved: Sequence[Saved], folder: Path) -> Path | None:
    """The file of the first readable piece that a person would open first; None without one."""
    files = (
        folder / f"{piece.name}{end}" for piece in saved if piece.bars for end in _OPENED_FIRST
    )
    return next((file for file in files if file.is_file()), None)


def summary(saved: Sequence[Saved]) -> Iterator[str]:
    """Summary lines: incomplete pieces with their reasons, then totals."""
    for piece in saved:
        if not piece.is_complete:
            reason = piece.problem or f"{piece.finish_reason}, {piece.silent_voices} silent voices"
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


# Each writer imports what it needs itself: music21 and verovio take seconds to start.


def _write_abc(sheet: _Sheet, stem: Path) -> None:
    write(stem.with_suffix(".abc"), f"X:1\n{sheet.tune.to_standard()}")


def _write_musicxml(sheet: _Sheet, stem: Path) -> None:
    from notagen import scores

    write(stem.with_suffix(".musicxml"), scores.to_musicxml(sheet.tune))


def _write_midi(sheet: _Sheet, stem: Path) -> None:
    from notagen import scores

    write(stem.with_suffix(".mid"), scores.to_midi(sheet.tune))


def _write_svg(sheet: _Sheet, stem: Path) -> None:
    for number, page in enumerate(sheet.pages, start=1):
        write(stem.with_name(f"{stem.name}-{number}.svg"), page)


def _write_pdf(sheet: _Sheet, stem: Path) -> None:
    from notagen.scores.engrave import pdf

    write(stem.with_suffix(".pdf"), pdf(sheet.pages))


def _write_wav(sheet: _Sheet, stem: Path) -> None:
    from notagen.scores.audio import wav

    write(stem.with_suffix(".wav"), wav(sheet.tune))


def _write_mp3(sheet: _Sheet, stem: Path) -> None:
    from notagen.scores.audio import mp3

    write(stem.with_suffix(".mp3"), mp3(sheet.tune))


_WRITERS: dict[str, Callable[[_Sheet, Path], None]] = {
    "abc": _write_abc,
    "musicxml": _write_musicxml,
    "midi": _write_midi,
    "svg": _write_svg,
    "pdf": _write_pdf,
    "wav": _write_wav,
    "mp3": _write_mp3,
}
