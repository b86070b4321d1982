"""Parquet, JSON and text files of an iteration: written whole or not at all, checked when read."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from notagen.atomic import replacing
from notagen.errors import UserError

T = TypeVar("T")


def write_rows(
    rows: Sequence[Mapping[str, Any]], path: Path, facts: Mapping[str, str] | None = None
) -> None:
    """Write rows to a Parquet file, with facts about their origin as its metadata."""
    table = pa.Table.from_pylist([dict(row) for row in rows]).replace_schema_metadata(facts)
    with replacing(path) as unfinished:
        pq.write_table(table, unfinished, write_page_checksum=True)


def read_rows(path: Path, columns: Collection[str]) -> list[dict[str, Any]]:
    """Read the rows of a Parquet file.

    Raises:
        UserError: it is missing or damaged, or lacks one of ``columns``.
    """
    with _reading(path):
        table = pq.read_table(path, page_checksum_verification=True)
        _check_keys(table.column_names, columns)
        rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def read_facts(path: Path) -> dict[str, str]:
    """Read the metadata that :func:`write_rows` wrote beside the rows."""
    with _reading(path):
        facts = pq.read_schema(path).metadata or {}
        return {key.decode(): value.decode() for key, value in facts.items()}


def read_object(path: Path, keys: Collection[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or damaged, or lacks one of ``keys``.
    """
    with _reading(path):
        values = json.loads(path.read_text())
        if not isinstance(values, dict):
            raise TypeError("it is no JSON object")
        _check_keys(values, keys)
    return values


def write_text(text: str, path: Path) -> None:
    """Write a text file."""
    with replacing(path) as unfinished:
        unfinished.write_text(text)


def kept(path: Path, read: Callable[[], T]) -> T | None:
    """Read what an earlier run left; None if it is not there, or damaged, which is printed."""
    if not path.is_file():
        return None
    try:
        return read()
    except UserError as error:
        print(f"{error}; it is made again", flush=True)
        return None


def _check_keys(found: Collection[str], wanted: Collection[str]) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise KeyError(f"no {', '.join(missing)}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError) as error:
        reason, _, _ = str(error).partition("\n")
        raise UserError(f"{path} is missing or damaged ({reason})") from error
