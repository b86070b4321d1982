"""Report of an iteration: figures of its policy beside earlier ones, bounds, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from math import isnan, nan, sqrt
from operator import itemgetter
from pathlib import Path
from statistics import fmean, variance
from typing import Any, TypedDict, cast

from notagen.dpo.settings import Bounds
from notagen.dpo.tables import read_object
from notagen.errors import UserError


class Figures(TypedDict):
    """Figures of a policy from the pieces it wrote: a row of the report."""

    policy: str
    pieces: int
    score: float  # mean of the training encoder's
    score_error: float  # standard error of the mean
    judge: float | None  # mean of the judge's
    judge_error: float | None
    misaligned_pieces: float  # share of those that can be read
    misaligned_bars: float  # share of their bars
    misaligned_first_draft: float  # share whose voices did not agree as first drawn (align=enforce)
    unreadable: float  # share of pieces
    copies: float  # share of readable pieces too close to a real one, by the encoder
    longest_run: float  # mean bars in a row that also stand in a real piece
    long_runs: float  # share of readable pieces with at least LONG_RUN of them
    self_similarity: float  # mean cosine of two of its pieces with one prompt, where there are two
    real_self_similarity: float  # of two real pieces
    bits_per_character: float  # of held-out real music
    real_bits_increase: float  # of these, more than under the first policy of the run


LONG_RUN = 8
"""Consecutive bars of a real piece from which on a piece counts as one that copies."""


def figures(
    policy: str,
    rows: Sequence[Mapping[str, Any]],
    similarities: Sequence[Mapping[str, float]],
    max_similarity: float,
    bits_per_character: float,
    before: Sequence[Figures],
) -> Figures:
    """Summarise the scored pieces of a policy (:class:`Scored`) and their similarities.

    ``before`` are the figures of the policies before it, the first one first.
    """
    first = before[0]["bits_per_character"] if before else bits_per_character
    read = [row for row in rows if row["score"] is not None]
    score, score_error = _mean(read, "score")
    judge, judge_error = _mean(read, "judge")
    assert score is not None
    assert score_error is not None
    return Figures(
        policy=policy,
        pieces=len(rows),
        score=score,
        score_error=score_error,
        judge=judge,
        judge_error=judge_error,
        misaligned_pieces=fmean(row["misaligned_bars"] > 0 for row in read),
        misaligned_bars=sum(r["misaligned_bars"] for r in read) / sum(r["bars"] for r in read),
        misaligned_first_draft=sum(r["misaligned_first_draft"] for r in read)
        / sum(r["bars"] for r in read),
        unreadable=1 - len(read) / len(rows),
        copies=fmean((row["closest"] or 0) > max_similarity for row in read),
        longest_run=fmean(row["longest_run"] for row in read),
        long_runs=fmean(row["longest_run"] >= LONG_RUN for row in read),
        self_similarity=_mean_of_known(found["written"] for found in similarities),
        real_self_similarity=_mean_of_known(found["real"] for found in similarities),
        bits_per_character=bits_per_character,
        real_bits_increase=bits_per_character - first,
    )


def _mean_of_known(values: Iterable[float]) -> float:
    """Mean of those that are numbers: fewer than two pieces have no similarity."""
    known = [value for value in values if not isnan(value)]
    return fmean(known) if known else nan


def _mean(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[float | None, float | None]:
    """Mean over all pieces, and its standard error with the variance within each prompt."""
    by_prompt: dict[str, list[float]] = {}
    for row in rows:
        if row[name] is not None:
            by_prompt.setdefault(row["prompt"], []).append(row[name])
    values = [value for own in by_prompt.values() for value in own]
    if not values:
        return None, None
    squares = sum(len(own) * variance(own) for own in by_prompt.values() if len(own) > 1)
    return fmean(values), sqrt(squares) / len(values)


def write_page(lines: Sequence[Figures], bounds: Bounds, shown: Sequence[str]) -> str:
    """The report as Markdown: a table with a column per policy, the bounds, then some pieces."""
    measures: dict[str, Callable[[Figures], str]] = {
        "policy": lambda line: _short(line["policy"]),
        "pieces": lambda line: str(line["pieces"]),
        "score": lambda line: _with_error(line["score"], line["score_error"]),
        "judge": lambda line: _with_error(line["judge"], line["judge_error"]),
        "misaligned pieces": lambda line: f"{line['misaligned_pieces']:.1%}",
        "misaligned bars": lambda line: f"{line['misaligned_bars']:.2%}",
        "misaligned first drafts": lambda line: f"{line['misaligned_first_draft']:.1%}",
        "unreadable": lambda line: f"{line['unreadable']:.1%}",
        "copies": lambda line: f"{line['copies']:.1%}",
        "longest run": lambda line: f"{line['longest_run']:.1f} bars",
        f"runs of {LONG_RUN}+ bars": lambda line: f"{line['long_runs']:.1%}",
        "self-similarity": lambda line: f"{line['self_similarity']:.3f}",
        "self-similarity, real": lambda line: f"{line['real_self_similarity']:.3f}",
        "bits/char, real": lambda line: f"{line['bits_per_character']:.3f}",
        "within bounds": lambda line: _within(bounds.exceeded(line)),
    }
    head, *rows = [[name, *map(show, lines)] for name, show in measures.items()]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    page = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in (head, ["-" * width for width in widths], *rows)
    ]
    stated = ", ".join(f"{name} {most:g}" for name, most in asdict(bounds).items())
    return "\n".join([*page, f"\nBounds, at most: {stated}.\n", *shown]) + "\n"


def _within(exceeded: Sequence[str]) -> str:
    return f"no: {', '.join(exceeded)}" if exceeded else "yes"


def _short(policy: str) -> str:
    """``runs/mine/dpo-1/model`` as ``dpo-1``; other names as they are."""
    path = Path(policy)
    return path.parent.name if path.name == "model" and path.parent.name else policy


def examples(rows: Iterable[Mapping[str, Any]], texts: Mapping[int, str]) -> list[str]:
    """The pieces with the highest and the lowest score, as Markdown."""
    read = [row for row in rows if row["score"] is not None]
    best, worst = (choice(read, key=itemgetter("score")) for choice in (max, min))
    return [
        f"## {title} score: {row['score']:.4f}\n\n```abc\n{texts[row['number']]}```\n"
        for title, row in (("Highest", best), ("Lowest", worst))
    ]


def read_figures(path: Path) -> Figures:
    """Read the ``report.json`` of an iteration.

    Raises:
        UserError: it is missing or damaged.
    """
    return cast(Figures, read_object(path, Figures.__annotations__))


def earlier(out: Path, iteration: int) -> list[Figures]:
    """The figures of the iterations before this one that are in the same run.

    Raises:
        UserError: a file of them is damaged.
    """
    folders = (out.with_name(f"dpo-{before}") for before in range(1, iteration))
    paths = [folder / "report.json" for folder in folders]
    try:
        return [read_figures(path) for path in paths if path.is_file()]
    except UserError as error:
        raise UserError(f"{error}; remove it, and the report leaves that policy out") from error


def _with_error(value: float | None, error: float | None) -> str:
    return "-" if value is None else f"{value:.4f} ± {error:.4f}"
