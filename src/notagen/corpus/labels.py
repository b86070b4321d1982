"""A table that says period, composer and instrumentation of score files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from notagen.errors import UserError
from notagen.prompt import Prompt


def read_labels(path: Path) -> dict[str, Prompt]:
    """Read a CSV table with a header line, or JSON Lines, with the columns of the prompt.

    Column ``file`` is the score's path within its folder; ``period``, ``composer`` and
    ``instrumentation`` may be empty or missing. Other columns are not looked at.

    Raises:
        UserError: no such file, another format or encoding, or no column ``file``.
    """
    if path.suffix not in (".csv", ".jsonl") or not path.is_file():
        raise UserError(f"corpus.labels={path} is not a .csv or .jsonl file")
    labels = {}
    try:
        table = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not in UTF-8, which tables of labels must be") from error
    lines = io.StringIO(table, newline="")
    for number, row in enumerate(
        csv.DictReader(lines) if path.suffix == ".csv" else _json_lines(lines, path), start=1
    ):
        name = row.get("file")
        if not name:
            raise UserError(f"row {number} of {path} names no file; its column must be `file`")
        given = (row.get(field) for field in Prompt._fields)
        labels[str(name)] = Prompt(*(str(label or "").strip() for label in given))
    return labels


def _json_lines(lines: TextIO, path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"line {number} of {path} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"line {number} of {path} is not a JSON object")
        yield row
