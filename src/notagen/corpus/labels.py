"""A table that says period, composer and instrumentation of score files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from notagen.errors import UserError
from notagen.prompt import Prompt


def read_labels(path: Path) -> dict[str, Prompt]:
    """Read a CSV table with a header line, or JSON Lines, with the columns of the prompt.

    Column ``file`` is the score's path within its folder; ``period``, ``composer`` and
    ``instrumentation`` may be empty or missing. Other columns are not looked at.

    Raises:
        UserError: no such file, another format, or no column ``file``.
    """
    if path.suffix not in (".csv", ".jsonl") or not path.is_file():
        raise UserError(f"corpus.labels={path} is not a .csv or .jsonl file")
    labels = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file) if path.suffix == ".csv" else _json_lines(file)
        for number, row in enumerate(rows, start=1):
            name = row.get("file")
            if not name:
                raise UserError(f"row {number} of {path} names no file; its column must be `file`")
            labels[name] = Prompt(*((row.get(field) or "").strip() for field in Prompt._fields))
    return labels


def _json_lines(file: TextIO) -> Iterator[Mapping[str, str | None]]:
    for number, line in enumerate(file, start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"line {number} of {file.name} is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"line {number} of {file.name} is not a JSON object")
        yield row
