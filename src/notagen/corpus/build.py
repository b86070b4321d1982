"""Build a prepared corpus from sources: read, deduplicate, split, store."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.progress import Progress, track

from notagen.atomic import locked
from notagen.corpus import engines, journal, remote
from notagen.corpus.card import page
from notagen.corpus.engines import Engine, Result
from notagen.corpus.journal import Journal
from notagen.corpus.provenance import difference, provenance
from notagen.corpus.reader import Reader, failed
from notagen.corpus.remote import is_url
from notagen.corpus.selection import Rules, Selection
from notagen.corpus.sources import Source
from notagen.corpus.workers import Failure, Limits
from notagen.data import storage
from notagen.data.storage import Row
from notagen.errors import Stopped, UserError


def prepare(
    sources: Sequence[Source],
    out: Path | str,
    rules: Rules | None = None,
    reader: Reader | None = None,
    limits: Limits | None = None,
    processes: int | None = None,
    engine: Engine = engines.local,
    origin: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Read every source, select pieces, assign them to splits, and store them.

    A run that was killed or stopped continues where it stopped when it is started again. The
    result depends on the sources, rules and limits alone, neither on the engine and the number of
    processes nor on interruptions. Two processes do not write one folder at a time; an address has
    no such lock.

    Args:
        sources: the scores; of duplicates, the first in this order is kept.
        out: folder of the prepared corpus, a path or an address that fsspec can write; a corpus
            there is replaced.
        rules: minimum length, duplicates, splits.
        reader: reads one file.
        limits: time and memory for one file.
        processes: files read at a time; None: one per core.
        engine: the machines that read, see :mod:`notagen.corpus.engines`.
        origin: where the sources are from, for the data card.

    Returns:
        The data card: counts of pieces, bars, voices, characters, keys, labels, rejections by
        reason, and what the corpus was made with.

    Raises:
        UserError: fewer than two pieces could be used, ``out`` holds something other than a
            prepared corpus, or another process is writing it.
        Stopped: by Ctrl-C, or by SIGTERM in a command; what was read is kept.
    """
    rules, reader, limits = rules or Rules(), reader or Reader(), limits or Limits()
    out = str(out)
    name = Path(out).name
    with nullcontext() if is_url(out) else locked(Path(out)), _kept_when_stopped(out):
        remote.check_writable(out)
        keys = {source: journal.key(source, reader, limits) for source in sources}
        with Journal(journal_of(out)) as read:
            _read_all(keys, read, lambda waiting: engine(reader, waiting, processes, limits))
            selection = Selection(rules)
            for source, key in track(keys.items(), "finding duplicates"):
                selection.add(source, key, read[key])
            selection.finish()
            made_with = provenance(sources, rules, reader, limits, origin)
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


def check_same(out: str, made_with: Mapping[str, Any]) -> None:
    """See that the corpus at ``out`` is whole and the one that would be made now.

    A journal that a process left that was killed after its corpus was complete is removed.

    Args:
        out: folder or address of a prepared corpus.
        made_with: of :func:`notagen.corpus.provenance.provenance`.

    Raises:
        UserError: the corpus is another or damaged, or another process is writing it.
    """
    earlier = remote.made_with(out)
    if earlier is None:
        raise storage.foreign(out)
    if differs := difference(earlier, made_with):
        raise UserError(
            f"{out} holds another corpus: {differs}; give another folder as out=, or "
            "overwrite=true to replace it"
        )
    if not is_url(out):
        storage.check_whole(Path(out))
        if journal_of(out).exists():
            with locked(Path(out)):
                journal_of(out).unlink(missing_ok=True)


def journal_of(out: str) -> Path:
    """The journal of a corpus, beside it; for an address, in the working folder."""
    beside = Path() if is_url(out) else Path(out).parent
    return beside / f".{Path(out).name}.read.jsonl"


@contextmanager
def _kept_when_stopped(out: str) -> Iterator[None]:
    """Say what a signal that stops the block leaves."""
    try:
        yield
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        raise Stopped(
            f"stopped; the scores that were read for {out} are kept, and the same command goes on "
            "from there",
            number,
        ) from None


def _read_all(
    keys: Mapping[Source, str],
    read: Journal,
    engine: Callable[[Sequence[Source]], Iterator[Result]],
) -> None:
    """Read each source that is not in the journal yet, and add its outcome."""
    waiting = [source for source, key in keys.items() if key not in read]
    if read.damaged:
        print(f"{read.path}: {read.damaged} damaged lines are skipped, their scores read again")
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
