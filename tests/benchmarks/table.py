"""One table of all measurements, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.sides import Round


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        work: what was done.
        unit: of the two figures.
        ours: median of all rounds.
        reference: the same of the published formulation; None where there is none.
        ratio: of both; above 1 means that ours is faster.
        ratios: lowest and highest of any round.
        goal: of the ratio, or of our figure where the goal says its unit.
        remark: what must be known to read the row.
    """

    work: str
    unit: str
    ours: float
    reference: float | None = None
    ratio: float | None = None
    ratios: tuple[float, float] | None = None
    goal: str = ""
    remark: str = ""


def timed(
    work: str, unit: str, rounds: Sequence[Round], goal: str = "", remark: str = ""
) -> list[Row]:
    """Rows in processor time and wall time, in ``ms`` or ``s``; the goal is one of the first."""
    scale = {"s": 1, "ms": 1e3}[unit.split()[0]]
    rows = []
    for clock, its_goal in (("CPU", goal), ("wall", "")):
        pairs = [(theirs.cost[clock], ours.cost[clock]) for theirs, ours in rounds]
        ratios = [theirs / ours for theirs, ours in pairs]
        rows.append(
            Row(
                work=work,
                unit=f"{clock} {unit}",
                ours=scale * median(ours for _, ours in pairs),
                reference=scale * median(theirs for theirs, _ in pairs),
                ratio=median(ratios),
                ratios=(min(ratios), max(ratios)),
                goal=its_goal,
                remark=remark,
            )
        )
    return rows


def memory(work: str, rounds: Sequence[Round], goal: str = "") -> Row:
    """The most either side held; here a ratio below 1 is ours."""
    theirs, ours = (max(reply.memory for reply in side) / 1e6 for side in zip(*rounds, strict=True))
    remark = "peak above the imports; ratio is ours / reference"
    return Row(work, "MB", ours, theirs, ours / theirs, goal=goal, remark=remark)


_COLUMNS = {
    "work": 48,
    "unit": 27,
    "reference": -9,
    "ours": -8,
    "ratio": -7,
    "of any round": 16,  # 0.0944 to 0.0945
    "goal": 12,
    "remark": 0,
}
"""Widths; negative where figures end at the right."""


def heading() -> str:
    """The first line of the table."""
    return _aligned(_COLUMNS)


def line(row: Row) -> str:
    """One figure."""
    return _aligned(_cells(row))


def _aligned(cells: Iterable[str]) -> str:
    return "  ".join(
        cell.ljust(width) if width >= 0 else cell.rjust(-width)
        for cell, width in zip(cells, _COLUMNS.values(), strict=True)
    ).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    spread = f"{row.ratios[0]:.3g} to {row.ratios[1]:.3g}" if row.ratios else ""
    return (
        row.work,
        row.unit,
        _figure(row.reference),
        _figure(row.ours),
        _figure(row.ratio),
        spread,
        row.goal,
        row.remark,
    )


def _figure(value: float | None) -> str:
    """Three digits at least, and all those before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
