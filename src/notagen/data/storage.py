"""A prepared corpus on disk: one Arrow dataset per split, one row per piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypedDict, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from notagen.atomic import replacing, restore
from notagen.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SPLITS: Final = ("train", "validation", "test")
CARD: Final = "card.json"
WHOLE: Final = "dataset_dict.json"
"""Its presence marks a complete corpus."""

_FILES: Final = {CARD, WHOLE, "README.md", "card.png", "rejected.jsonl", *SPLITS}
_BATCH = 1000  # rows in memory at a time
_CHECKED = 1_000_000_000  # bytes; a larger split takes too long to read through when it is opened


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
    """Write a corpus folder atomically; an older corpus is replaced.

    Args:
        out: the folder.
        splits: rows of each split; consumed one by one, so they need not fit in memory.
        rejected: goes to ``rejected.jsonl``, one line per piece.
        card: goes to ``card.json``. A folder is known as one of ours by ``pieces`` and
            ``made_with`` in it; without them it is never replaced.
        pages: content of ``README.md`` and ``card.png``.

    Raises:
        UserError: ``out`` holds something other than a prepared corpus.
    """
    from datasets import DatasetDict, disable_progress_bars  # seconds, for whoever needs it

    check_writable(out)
    disable_progress_bars()
    with replacing(out, sync=True) as unfinished:
        rows_folder = unfinished / "rows"  # streamed to disk first: the rows may not fit in memory
        rows_folder.mkdir(parents=True)
        data = {name: _arrow(rows, rows_folder / name) for name, rows in splits.items()}
        DatasetDict(data).save_to_disk(str(unfinished))
        shutil.rmtree(rows_folder)
        with (unfinished / "rejected.jsonl").open("w") as file:
            file.writelines(json.dumps(rejection) + "\n" for rejection in rejected)
        (unfinished / CARD).write_text(json.dumps(card, indent=2) + "\n")
        for name, content in pages.items():
            (unfinished / name).write_bytes(content)


def read(path: Path, split: str, where: str | None = None) -> Dataset:
    """Rows of one split, memory-mapped.

    Args:
        path: a prepared corpus.
        split: one of its splits.
        where: an expression over the columns, see :func:`select`; None for all rows.

    Raises:
        UserError: there is no prepared corpus at ``path``, it is damaged or something else, it has
            no such split, or the expression cannot be evaluated.
    """
    if not is_prepared(path):
        raise UserError(_not_prepared(path))
    splits = _opened(path)
    if split not in splits:
        raise UserError(
            f"the corpus at {path} has no {split} split, only {', '.join(splits)}; `python -m "
            "notagen.prepare` makes it anew (overwrite=true) with another rules.validation_fraction"
        )
    rows = splits[split]
    _check_rows(path, split, rows)
    return rows if where is None else select(rows, where)


def check_whole(path: Path) -> None:
    """See that every split of a corpus can be read.

    Raises:
        UserError: it is damaged or something else.
    """
    for split, rows in _opened(path).items():
        _check_rows(path, str(split), rows)


def _not_prepared(path: Path) -> str:
    """Sentence about a path that holds no corpus, and what to do."""
    if not path.exists():
        return (
            f"there is no prepared corpus at {path}; make one with `python -m notagen.prepare "
            f"corpus=... out={path}`, or give the folder of another one as corpus.prepared"
        )
    below = sorted(str(folder.parent) for folder in path.glob(f"*/{WHOLE}"))
    found = f"those below it are {', '.join(below)}" if below else "prepare writes such folders"
    return f"{path} is no prepared corpus; give the folder of one as corpus.prepared ({found})"


def _opened(path: Path) -> DatasetDict:
    from datasets import DatasetDict, load_from_disk

    try:
        splits = load_from_disk(str(path))
        for rows in splits.values():
            rows.data.table.validate(full=rows.data.nbytes < _CHECKED)
    except Exception as error:  # of any type: files of JSON and Arrow that may hold anything
        raise UserError(
            f"the corpus at {path} is damaged ({_short(error)}); prepare it again with "
            "overwrite=true"
        ) from error
    assert isinstance(splits, DatasetDict)  # as its dataset_dict.json says
    return splits


def _check_rows(path: Path, split: str, rows: Dataset) -> None:
    if reason := _objection(rows):
        raise UserError(f"the {split} split of {path} is no music to train on: {reason}")


def _objection(rows: Dataset) -> str:
    """Reason why rows are none of a corpus; empty if they look as if they were."""
    found = rows.features.arrow_schema
    missing = [field.name for field in _SCHEMA if field.name not in found.names]
    if missing:
        return f"it has no column {', '.join(missing)}, so prepare did not write it"
    for field in _SCHEMA:
        if found.field(field.name).type != field.type:
            return f"column {field.name} is {found.field(field.name).type}, not {field.type}"
        if rows.data.column(field.name).null_count:
            return f"column {field.name} has gaps"
    if rows.data.nbytes < _CHECKED:
        texts = rows.data.column("text")
        keyless = pc.invert(pc.match_substring(texts, "K:"))
        odd = pc.index(pc.or_(keyless, pc.match_substring(texts, "\0")), True).as_py()
        if odd >= 0:
            return f"the text of piece {rows[odd]['piece']} is no ABC"
    return ""


def _short(error: Exception) -> str:
    """The beginning of an error's first line; libraries may print whole tables."""
    first, *_ = str(error).splitlines() or [type(error).__name__]
    return first if len(first) <= 120 else f"{first[:120]}..."


def select(rows: Dataset, expression: str) -> Dataset:
    """Rows for which an expression over their columns is true: ``voices == 4 and bars > 8``.

    The expression is evaluated by :meth:`pandas.DataFrame.eval`; column ``text`` is not available.

    Raises:
        UserError: the expression cannot be evaluated, or is not true or false for each piece.
    """
    table = rows.remove_columns("text").to_pandas()
    try:
        chosen = np.asarray(table.eval(expression))
    except Exception as error:  # pandas raises whatever the expression runs into
        raise UserError(
            f"cannot choose pieces by {expression!r}: {_short(error)}; columns are "
            f"{', '.join(table.columns)}"
        ) from error
    if chosen.dtype != np.bool_ or chosen.shape != (len(table),):
        raise UserError(
            f"cannot choose pieces by {expression!r}, which is not true or false for each; compare "
            "a column with something, as in 'bars > 8' or 'composer == \"Haydn, Joseph\"'"
        )
    return rows.select(np.flatnonzero(chosen))


def is_prepared(path: Path) -> bool:
    """True if a complete prepared corpus lies at ``path``, ours or another program's."""
    if not path.exists():
        restore(path)  # a process was killed between moving it aside and putting the new one there
    return (path / WHOLE).is_file()


def made_with(card: bytes | None) -> dict[str, Any] | None:
    """Provenance of a corpus, by the content of its ``card.json``.

    None where that is not a card of ours.
    """
    try:
        values = json.loads(card or b"")
    except ValueError:  # also of what is no UTF-8
        return None
    ours = isinstance(values, dict) and isinstance(values.get("pieces"), dict)
    origin = values.get("made_with") if ours else None
    return origin if isinstance(origin, dict) else None


def foreign(out: Path | str) -> UserError:
    """The refusal to replace what this program did not write."""
    return UserError(f"{out} holds something else than a corpus; give another folder as out=")


def check_writable(out: Path) -> None:
    """Refuse to replace anything but a prepared corpus of ours or an empty folder.

    Raises:
        UserError: something else lies at ``out``, or in it.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    card = out / CARD
    if made_with(card.read_bytes() if card.is_file() else None) is None:
        raise foreign(out)
    others = sorted(file.name for file in out.iterdir() if file.name not in _FILES)
    if others := [name for name in others if not name.startswith(".")]:
        raise UserError(
            f"{out} also holds {', '.join(others[:3])}, which prepare did not write; move it "
            "elsewhere, or give another folder as out="
        )


def _arrow(rows: Iterable[Row], path: Path) -> Dataset:
    """Write rows to an Arrow file, and memory-map it."""
    from datasets import Dataset

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, _SCHEMA) as writer:
        for batch in _batches(rows):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, _SCHEMA))
    return Dataset.from_file(str(path))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        yield batch
