"""Parquet and text files of an iteration, each there whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from notagen.atomic import replacing


def write_rows(
    rows: Sequence[Mapping[str, Any]], path: Path, facts: Mapping[str, str] | None = None
) -> None:
    """Write rows to a Parquet file, with facts about their origin as its metadata."""
    table = pa.Table.from_pylist([dict(row) for row in rows]).replace_schema_metadata(facts)
    with replacing(path) as unfinished:
        pq.write_table(table, unfinished)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a Parquet file."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def read_facts(path: Path) -> dict[str, str]:
    """Read the metadata that :func:`write_rows` wrote beside the rows."""
    facts = pq.read_schema(path).metadata or {}
    return {key.decode(): value.decode() for key, value in facts.items()}


def write_text(text: str, path: Path) -> None:
    """Write a text file."""
    with replacing(path) as unfinished:
        unfinished.write_text(text)
