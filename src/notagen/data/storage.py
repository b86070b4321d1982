"""A prepared corpus on disk: one Arrow dataset per split, one row per piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypedDict, get_type_hints

import pyarrow as pa
from datasets import Dataset, DatasetDict, disable_progress_bars, load_from_disk

from notagen.atomic import replacing
from notagen.errors import UserError

SPLITS: Final = ("train", "validation", "test")
_BATCH = 1000  # rows in memory at a time


class Row(TypedDict):
    """A stored piece. Unknown labels are empty."""

    piece: str  # name of the score within its source
    text: str  # interleaved ABC in the key of the score, rests written out, no stream marks
    period: str
    composer: str
    instrumentation: str
    key: str  # major key with the signature of the piece: "Eb" for C minor
    bars: int
    voices: int
    characters: int


class Rejection(TypedDict):
    """A piece that was left out, and the reason."""

    piece: str
    file: str
    reason: str  # "kind: a sentence", for example "unreadable: ..."
    position: str  # line or bar of the error, if known


_SCHEMA = pa.schema(
    {name: pa.int64() if hint is int else pa.string() for name, hint in get_type_hints(Row).items()}
)


def write(
    out: Path,
    splits: Mapping[str, Iterable[Row]],
    rejected: Iterable[Rejection],
    card: Mapping[str, Any],
    pages: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    """Write a corpus folder atomically; an older one is replaced.

    Args:
        out: the folder.
        splits: rows of each split; consumed one by one, so they need not fit in memory.
        rejected: goes to ``rejected.jsonl``, one line per piece.
        card: goes to ``card.json``.
        pages: content of further files, by name.

    Raises:
        UserError: ``out`` holds something other than a prepared corpus.
    """
    check_writable(out)
    disable_progress_bars()
    with replacing(out) as unfinished:
        rows_folder = unfinished / "rows"  # streamed to disk first: the rows may not fit in memory
        rows_folder.mkdir(parents=True)
        data = {name: _arrow(rows, rows_folder / name) for name, rows in splits.items()}
        DatasetDict(data).save_to_disk(str(unfinished))
        shutil.rmtree(rows_folder)
        with (unfinished / "rejected.jsonl").open("w") as file:
            file.writelines(json.dumps(rejection) + "\n" for rejection in rejected)
        (unfinished / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        for name, content in pages.items():
            (unfinished / name).write_bytes(content)


def read(path: Path, split: str, where: str | None = None) -> Dataset:
    """Rows of one split, memory-mapped.

    Args:
        path: a prepared corpus.
        split: one of its splits.
        where: an expression over the columns, see :func:`select`; None for all rows.

    Raises:
        UserError: there is no prepared corpus at ``path``, it has no such split, or the expression
            cannot be evaluated.
    """
    if not is_prepared(path):
        raise UserError(
            f"there is no prepared corpus at {path}; make one with `python -m notagen.prepare "
            f"corpus={path.name}`, or give the folder of another one as corpus.prepared"
        )
    splits = load_from_disk(str(path))
    if split not in splits:
        raise UserError(
            f"the corpus at {path} has no {split} split, only {', '.join(splits)}; `python -m "
            "notagen.prepare` makes it anew (overwrite=true) with another rules.validation_fraction"
        )
    return splits[split] if where is None else select(splits[split], where)


def select(rows: Dataset, expression: str) -> Dataset:
    """Rows for which an expression over their columns is true: ``voices == 4 and bars > 8``.

    The expression is evaluated by :meth:`pandas.DataFrame.query`; column ``text`` is not available.

    Raises:
        UserError: the expression cannot be evaluated.
    """
    table = rows.remove_columns("text").to_pandas()
    try:
        chosen = table.query(expression).index
    except Exception as error:  # pandas raises whatever the expression runs into
        raise UserError(
            f"cannot choose pieces by {expression!r}: {error}; columns are "
            f"{', '.join(table.columns)}"
        ) from error
    return rows.select(chosen)


def is_prepared(path: Path) -> bool:
    """True if a prepared corpus lies at ``path``."""
    return (path / "dataset_dict.json").is_file()


def check_writable(out: Path) -> None:
    """Refuse to replace anything but a prepared corpus or an empty folder.

    Raises:
        UserError: something else lies at ``out``.
    """
    empty = out.is_dir() and not any(out.iterdir())
    if out.exists() and not empty and not is_prepared(out):
        raise UserError(f"{out} holds something else than a corpus; give another folder as out=")


def _arrow(rows: Iterable[Row], path: Path) -> Dataset:
    """Write rows to an Arrow file, and memory-map it."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as writer:
        for batch in _batches(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, _SCHEMA))
    return Dataset.from_file(str(path))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        yield batch
