"""A prepared corpus on disk: one Arrow dataset a split, a row a piece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

from datasets import Dataset, DatasetDict, disable_progress_bars, load_from_disk

from notagen.errors import UserError

SPLITS: Final = ("train", "validation")


class Row(TypedDict):
    """A piece as stored."""

    piece: str  # name of the score within its source
    text: str  # interleaved ABC in the key of the score, rests written out, no stream marks
    period: str
    composer: str
    instrumentation: str
    key: str  # the major key whose signature the piece has
    bars: int
    voices: int
    characters: int


class Rejection(TypedDict):
    """A score that was left out, and why."""

    piece: str
    reason: str


def write(
    out: Path, splits: dict[str, list[Row]], rejected: Sequence[Rejection], card: dict[str, Any]
) -> None:
    """Write a corpus folder whole or not at all; an older one of the same name is replaced."""
    disable_progress_bars()
    unfinished = out.with_name(f".{out.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    data = DatasetDict({name: Dataset.from_list(list(rows)) for name, rows in splits.items()})
    data.save_to_disk(str(unfinished))
    lines = (json.dumps(rejection) + "\n" for rejection in rejected)
    (unfinished / "rejected.jsonl").write_text("".join(lines))
    (unfinished / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    if out.exists():
        shutil.rmtree(out)
    unfinished.rename(out)


def read(path: Path, split: str) -> Dataset:
    """The rows of one split, memory-mapped.

    Raises:
        UserError: there is no prepared corpus at ``path``.
    """
    if not (path / "dataset_dict.json").is_file():
        raise UserError(
            f"there is no prepared corpus at {path}; make one with "
            f"`python -m notagen.prepare corpus={path.name}` (or give its folder as corpus.path)"
        )
    return load_from_disk(str(path))[split]


def select(rows: Dataset, expression: str) -> Dataset:
    """The rows for which an expression over their columns is true.

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
