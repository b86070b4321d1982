"""Build a prepared corpus from sources: read, deduplicate, split, store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress, track

from notagen.corpus import engines, journal, remote
from notagen.corpus.card import page
from notagen.corpus.engines import Engine, Result
from notagen.corpus.journal import Journal
from notagen.corpus.reader import Reader, failed
from notagen.corpus.remote import is_url
from notagen.corpus.selection import Rules, Selection
from notagen.corpus.sources import Source
from notagen.corpus.workers import Failure, Limits
from notagen.data import storage
from notagen.data.storage import Row
from notagen.errors import UserError


def prepare(
    sources: Sequence[Source],
    out: Path | str,
    rules: Rules | None = None,
    reader: Reader | None = None,
    limits: Limits | None = None,
    processes: int | None = None,
    engine: Engine = engines.local,
) -> dict[str, Any]:
    """Read every source, select pieces, assign them to splits, and store them.

    A run that was killed continues where it stopped when it is started again. The result depends
    on the sources and rules alone, neither on the engine and the number of processes nor on
    interruptions.

    Args:
        sources: the scores; of duplicates, the first in this order is kept.
        out: folder of the prepared corpus, a path or an address that fsspec can write.
        rules: minimum length, duplicates, splits.
        reader: reads one file.
        limits: time and memory for one file.
        processes: files read at a time; None: one per core.
        engine: the machines that read, see :mod:`notagen.corpus.engines`.

    Returns:
        The data card: counts of pieces, bars, voices, characters, keys, labels, and rejections by
        reason.

    Raises:
        UserError: no score could be used, or ``out`` holds something other than a prepared corpus.
    """
    rules, reader, limits = rules or Rules(), reader or Reader(), limits or Limits()
    out = str(out)
    name = Path(out).name
    remote.check_writable(out)
    keys = {source: journal.key(source, reader) for source in sources}
    # The journal lies beside the corpus; for a remote corpus, in the working folder.
    beside = Path() if is_url(out) else Path(out).parent
    with Journal(beside / f".{name}.read.jsonl") as read:
        _read_all(keys, read, lambda waiting: engine(reader, waiting, processes, limits))
        selection = Selection(rules)
        for source, key in track(keys.items(), "finding duplicates"):
            selection.add(source, key, read[key])
        if not selection.card.pieces:
            raise UserError(_nothing_left(selection))
        made_with = {**asdict(rules), "licences": _licences(sources)}
        card = {**selection.card.as_dict(), "made_with": made_with}
        with remote.folder(out) as folder:
            storage.write(
                folder,
                {split: _rows(read, kept) for split, kept in selection.kept.items() if kept},
                selection.rejected,
                card,
                {"README.md": page(name, card).encode(), "card.png": selection.card.picture()},
            )
        read.remove()
    return card


def _read_all(
    keys: Mapping[Source, str],
    read: Journal,
    engine: Callable[[Sequence[Source]], Iterator[Result]],
) -> None:
    """Read each source that is not in the journal yet, and add its outcome."""
    waiting = [source for source, key in keys.items() if key not in read]
    with Progress() as progress:
        done = len(keys) - len(waiting)
        task = progress.add_task("reading scores", total=len(keys), completed=done)
        for source, result in engine(waiting):
            outcome = failed(source, result.reason) if isinstance(result, Failure) else result
            read.add(keys[source], outcome)
            progress.advance(task)


def _rows(read: Journal, kept: Mapping[str, Sequence[int]]) -> Iterator[Row]:
    for key, indices in kept.items():
        pieces = read[key]["pieces"]
        yield from (pieces[index]["row"] for index in indices)


def _licences(sources: Sequence[Source]) -> list[str]:
    return sorted({source.licence for source in sources} - {""})


def _nothing_left(selection: Selection) -> str:
    if not selection.rejected:
        return "there are no scores to prepare"
    first = selection.rejected[0]
    return (
        f"none of the {len(selection.rejected)} pieces could be used; the first one, "
        f"{first['piece']}, is {first['reason']}"
    )
