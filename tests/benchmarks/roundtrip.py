"""``make roundtrip``: scores to ABC text and back; what survives, by collection."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from music21 import converter
from rich.progress import track

from benchmarks.agreement import Agreement, add, compare
from notagen.config import announce
from notagen.corpus.sources import folder, music21
from notagen.errors import ScoreError, UserError
from notagen.notation import Tune
from notagen.scores.files import Entry, entries, failure, original, to_musicxml
from notagen.scores.from_music21 import from_music21

_KINDS: Final = (
    *("notes", "ties", "slurs", "graces", "tuplets", "chords", "articulations", "ornaments"),
    *("dynamics", "wedges", "repeats", "endings", "fermatas"),
)
_FLOORS: Final = tuple((name, 0.999) for name in ("bach", "beethoven", "haydn", "mozart"))


@dataclass(slots=True)
class Result:
    """What became of the tunes of a file, or of all files of a collection."""

    collection: str
    files: int = 0
    tunes: int = 0
    agreement: dict[str, Agreement] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert scores, print the agreement by collection, and check the floors."""
    parser = argparse.ArgumentParser(prog="make roundtrip", description=__doc__)
    parser.add_argument("--folder", help="of scores; else those that music21 installs")
    parser.add_argument("--collections", nargs="+", help="only these, such as bach haydn")
    parser.add_argument("--limit", type=int, help="files of each collection, evenly spread")
    parser.add_argument("--processes", type=int, help="files converted at a time; one a core")
    parser.add_argument("--floor", type=float, default=0.995, help="F1 of notes to reach")
    parser.add_argument(
        "--floors", nargs="*", type=_floor, default=_FLOORS, help="by collection: bach=0.999"
    )
    options = parser.parse_args(arguments)
    for key in ("limit", "processes"):
        if getattr(options, key) is not None and getattr(options, key) < 1:
            sys.exit(f"--{key} {getattr(options, key)} leaves nothing to do; choose 1 or more")
    files = _choose(options.folder, options.collections, options.limit)
    jobs = [(name, path) for name, paths in files.items() for path in paths]
    announce("roundtrip", {"collections": ", ".join(files), "files": len(jobs)})
    totals = {name: Result(name) for name in files}
    with ProcessPoolExecutor(options.processes or os.cpu_count()) as pool:
        running = [pool.submit(convert, *job) for job in jobs]
        for done in track(as_completed(running), "round trips", total=len(jobs)):
            _count(totals[done.result().collection], done.result())
    print(table(totals.values()))
    for reason in (reason for total in totals.values() for reason in total.failures):
        print(reason)
    floors = {name: dict(options.floors).get(name, options.floor) for name in totals}
    if missed := [name for name, total in totals.items() if not _passes(total, floors[name])]:
        sys.exit(f"notes below the floor, or a tune failed: {', '.join(missed)}")


def _floor(text: str) -> tuple[str, float]:
    collection, _, value = text.partition("=")
    return collection, float(value)


def _choose(
    path: str | None, collections: Sequence[str] | None, limit: int | None
) -> dict[str, list[Path]]:
    """Files of each collection, which is the first folder of a piece's name."""
    found: dict[str, list[Path]] = {}
    try:
        sources = music21() if path is None else folder(path)
    except UserError as error:
        sys.exit(str(error))
    for source in sources:
        found.setdefault(source.piece.split("/")[0], []).append(source.path)
    names = collections or list(found)
    if unknown := [name for name in names if name not in found]:
        sys.exit(f"there is no collection {unknown[0]}; choose from {', '.join(found)}")
    return {name: _spread(found[name], limit) for name in names}


def _count(total: Result, result: Result) -> None:
    total.files += result.files
    total.tunes += result.tunes
    total.agreement = add(total.agreement, result.agreement)
    total.failures += result.failures


def convert(collection: str, path: Path) -> Result:
    """Convert one file, tune by tune."""
    result = Result(collection, files=1)
    for outcome in round_trips(path):
        result.tunes += 1
        if isinstance(outcome, dict):
            result.agreement = add(result.agreement, outcome)
        else:
            result.failures.append(str(outcome))
    return result


def _passes(total: Result, floor: float) -> bool:
    notes = total.agreement.get("notes")
    return not total.failures and notes is not None and notes.f1 >= floor


def table(results: Iterable[Result]) -> str:
    """A row a collection: counts, then the F1 of each kind (a dash: the scores have none)."""
    head = (
        "collection",
        "files",
        "tunes",
        "notes",
        "corrected",
        "F1: notes",
        *_KINDS[1:],
        "failed",
    )
    rows = [head, *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def _row(result: Result) -> tuple[str, ...]:
    found = result.agreement
    counts = (found[kind].original if kind in found else 0 for kind in ("notes", "miscounted"))
    return (
        result.collection,
        *(f"{count:,}" for count in (result.files, result.tunes, *counts)),
        *(f"{found[kind].f1:.4f}" if any(found.get(kind, ())) else "-" for kind in _KINDS),
        str(len(result.failures)),
    )


def _spread(paths: list[Path], limit: int | None) -> list[Path]:
    """Choose at most so many, evenly spread."""
    return paths[:: -(-len(paths) // limit)] if limit else paths


def round_trips(path: Path) -> Iterator[dict[str, Agreement] | ScoreError]:
    """Send each tune of a file to interleaved text, parse it, write MusicXML, and compare.

    The original is the score that music21 parsed, and for ABC the one that our parser makes of
    it. A tune that fails on the way gives the error.
    """
    with warnings.catch_warnings(action="ignore"):  # remarks on scores that it can read
        try:
            for number, entry in enumerate(entries(path), start=1):
                try:
                    yield _round_trip(entry)
                except Exception as error:  # counted, and shown, by the caller
                    yield failure(f"{path}: tune {number}", error)
        except Exception as error:
            yield failure(str(path), error)


def _round_trip(entry: Entry) -> dict[str, Agreement]:
    score = original(entry)
    tune = Tune.parse(from_music21(score).to_interleaved())
    return compare(score, converter.parse(to_musicxml(tune), format="musicxml"))


if __name__ == "__main__":
    main()
