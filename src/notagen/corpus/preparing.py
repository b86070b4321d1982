"""From score files to a prepared corpus, over all cores."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.progress import Progress

from notagen import scores
from notagen.corpus.sources import Source
from notagen.data import storage
from notagen.data.storage import Rejection, Row
from notagen.errors import UserError
from notagen.notation import Tune
from notagen.notation.clean import clean


def prepare(
    sources: Sequence[Source], out: Path, validation_share: float, processes: int | None = None
) -> dict[str, Any]:
    """Read every source, leave out what cannot be used, split by piece, and store.

    Args:
        sources: the scores.
        out: folder of the prepared corpus.
        validation_share: share of the pieces that goes to the validation split.
        processes: how many readers; one a core when None.

    Returns:
        The data card: counts of pieces, bars, voices, characters, keys, and rejections by reason.

    Raises:
        UserError: no score could be used.
    """
    rows, rejected = _without_duplicates(_read_all(sources, processes or os.cpu_count() or 1))
    if not rows:
        raise UserError(f"none of the {len(sources)} scores could be used, so {out} was not made")
    splits: dict[str, list[Row]] = {name: [] for name in storage.SPLITS}
    for row in rows:
        splits[_split(row["piece"], validation_share)].append(row)
    card = _card(splits, rejected)
    storage.write(out, splits, rejected, card)
    return card


def _read_all(sources: Sequence[Source], processes: int) -> Iterator[list[Row] | Rejection]:
    with ProcessPoolExecutor(processes) as pool, Progress() as progress:
        task = progress.add_task("reading scores", total=len(sources))
        for result in pool.map(_read, sources, chunksize=4):
            yield result
            progress.advance(task)


def _read(source: Source) -> list[Row] | Rejection:
    try:
        tunes = scores.read(source.path)
    except scores.ScoreError as error:
        return {"piece": source.piece, "reason": f"unreadable: {error}"}
    if len(tunes) == 1:
        return [_row(source, source.piece, tunes[0])]
    return [_row(source, f"{source.piece}#{i}", tune) for i, tune in enumerate(tunes, start=1)]


def _row(source: Source, piece: str, tune: Tune) -> Row:
    tune = Tune.parse(clean(tune.to_standard()))
    text = tune.to_interleaved()
    return {
        "piece": piece,
        "text": text,
        "period": source.period,
        "composer": source.composer,
        "instrumentation": source.instrumentation,
        "key": tune.key,
        "bars": len(tune.bars),
        "voices": len(tune.voices),
        "characters": len(text),
    }


def _without_duplicates(
    results: Iterable[list[Row] | Rejection],
) -> tuple[list[Row], list[Rejection]]:
    """Keep the first of all pieces that are the same music, in whatever key."""
    kept: dict[str, Row] = {}
    rejected: list[Rejection] = []
    for result in results:
        if isinstance(result, dict):
            rejected.append(result)
            continue
        for row in result:
            first = kept.setdefault(_fingerprint(row["text"]), row)
            if first is not row:
                reason = f"duplicate: the same music as {first['piece']}"
                rejected.append({"piece": row["piece"], "reason": reason})
    return list(kept.values()), rejected


def _fingerprint(text: str) -> str:
    bars = Tune.parse(text).transpose("C").bars
    music = "\n".join("|".join(bar.text for bar in voices.values()) for voices in bars)
    return hashlib.sha256(music.encode()).hexdigest()


def _split(piece: str, validation_share: float) -> str:
    """A piece's split depends on its name alone: adding scores moves none of the others."""
    place = int.from_bytes(hashlib.sha256(piece.encode()).digest()[:8]) / 2**64
    return "validation" if place < validation_share else "train"


def _card(splits: dict[str, list[Row]], rejected: Sequence[Rejection]) -> dict[str, Any]:
    rows = [row for part in splits.values() for row in part]
    reasons = Counter(rejection["reason"].split(":")[0] for rejection in rejected)
    return {
        "pieces": {name: len(part) for name, part in splits.items()},
        "bars": sum(row["bars"] for row in rows),
        "characters": sum(row["characters"] for row in rows),
        "voices": dict(sorted(Counter(str(row["voices"]) for row in rows).items())),
        "keys": dict(Counter(row["key"] for row in rows).most_common()),
        "rejected": dict(reasons.most_common()),
    }
