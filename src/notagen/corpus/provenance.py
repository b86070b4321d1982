"""Provenance of a prepared corpus: its scores, labels, rules and limits, and how others differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from notagen.corpus.formats import is_score
from notagen.corpus.reader import Reader
from notagen.corpus.selection import Rules
from notagen.corpus.sources import Source
from notagen.corpus.workers import Limits

_FILES: Final = "sha256 of file names and sizes"
_LABELS: Final = "sha256 of labels"


def provenance(
    sources: Sequence[Source],
    rules: Rules,
    reader: Reader,
    limits: Limits,
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """All that decides what a corpus holds, as plain values to store and compare.

    Files that are no scores are left out: they may come and go.

    Args:
        sources: the files, in order.
        rules: minimum length, duplicates, splits.
        reader: with the largest size of a file.
        limits: time and memory for one file.
        origin: where the sources are from, in words of the caller.
    """
    scores = [source for source in sources if is_score(source.piece)]
    return {
        **origin,
        "files": len(scores),
        "rules.min_bars": rules.min_bars,
        "rules.similarity": rules.similarity,
        "rules.validation_fraction": rules.validation_fraction,
        "rules.note_difference": rules.note_difference,
        "rules.bar_metres": rules.bar_metres,
        "limits.file_mb": reader.largest / 1e6,
        "limits.seconds": limits.seconds,
        "limits.memory_gb": limits.memory / 1e9,
        "licences": sorted({source.licence for source in scores} - {""}),
        _FILES: _digest((source.piece, _size(source)) for source in scores),
        _LABELS: _digest((source.labels, source.split) for source in scores),
    }


def difference(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Differences of an earlier corpus from what is asked for now; empty if there are none.

    Args:
        earlier: what its data card says that it was made with.
        now: of :func:`provenance`.
    """
    if _FILES not in earlier:
        return "its data card does not say of which scores it was made"
    changed = [key for key in sorted({*earlier, *now}) if earlier.get(key) != now.get(key)]
    values = [
        f"{key} was {earlier.get(key, 'not given')} and is now {now.get(key, 'not given')}"
        for key in changed
        if key not in (_FILES, _LABELS)
    ]
    if values:
        return ", ".join(values)
    if _FILES in changed:
        return "scores were added, removed, renamed or changed since"
    return "labels have changed since" if changed else ""


def _size(source: Source) -> int | None:
    """Bytes of a local file; None where that is not known without asking another machine."""
    try:
        return None if source.url else source.path.stat().st_size
    except OSError:
        return None  # the reader will report the error


def _digest(values: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for value in values:
        digest.update(repr(value).encode() + b"\n")
    return digest.hexdigest()[:32]
