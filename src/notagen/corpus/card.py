"""The data card of a prepared corpus: counts, rejections, Markdown page and plots."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from notagen.data.storage import Row

_COUNTED: Final = ("bars", "characters", "voices", "key", "period", "composer", "instrumentation")
_SHOWN: Final = 20  # values per table or plot, most frequent first


class Card:
    """Counts over pieces and rejections."""

    def __init__(self) -> None:
        self.pieces: Counter[str] = Counter()  # by split
        self.rejected: Counter[str] = Counter()  # by the kind of reason
        self.differences: Counter[str] = Counter()  # pieces that are kept, by what differs
        self.counts: dict[str, Counter[Any]] = {column: Counter() for column in _COUNTED}

    def add(self, split: str, row: Row) -> None:
        """Count a selected piece."""
        self.pieces[split] += 1
        for column, count in self.counts.items():
            count[row[column]] += 1  # type: ignore[literal-required]

    def differ(self, added: int) -> None:
        """Count a selected piece whose text has more notes than its file, or fewer."""
        if added:
            self.differences["notes added" if added > 0 else "notes lost"] += 1

    def leave_out(self, reason: str) -> None:
        """Count a rejection by the kind of its reason, which is the part before the colon."""
        self.rejected[reason.partition(":")[0]] += 1

    def as_dict(self) -> dict[str, Any]:
        """Contents of ``card.json``."""
        return {
            "pieces": dict(self.pieces),
            "bars": _sum(self.counts["bars"]),
            "characters": _sum(self.counts["characters"]),
            "voices": {str(voices): n for voices, n in sorted(self.counts["voices"].items())},
            "keys": _by_frequency(self.counts["key"]),
            "periods": _by_frequency(self.counts["period"]),
            "composers": _by_frequency(self.counts["composer"]),
            "instrumentations": _by_frequency(self.counts["instrumentation"]),
            "differences": _by_frequency(self.differences),
            "rejected": _by_frequency(self.rejected),
        }

    def picture(self) -> bytes:
        """Plots of the distributions, as PNG."""
        figure = Figure(figsize=(13, 8), layout="constrained")
        lengths, characters, *others = figure.subplots(2, 3).ravel()
        for axis, column in ((lengths, "bars"), (characters, "characters")):
            count = self.counts[column]
            axis.hist(list(count), weights=list(count.values()), bins=40)
            axis.set(title=f"{column} of a piece", ylabel="pieces")
        counts = {
            "voices": self.counts["voices"],
            "keys": self.counts["key"],
            "composers": self.counts["composer"],
            "left out": self.rejected,
        }
        for axis, (title, count) in zip(others, counts.items(), strict=True):
            shown = count.most_common(_SHOWN)
            names = [_shown(name) for name, _ in shown]
            axis.barh(range(len(shown)), [n for _, n in shown], tick_label=names)
            axis.invert_yaxis()
            axis.set(title=title, xlabel="pieces")
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        return picture.getvalue()


def page(title: str, card: Mapping[str, Any]) -> str:
    """A card as Markdown."""
    splits = ", ".join(f"{n:,} {split}" for split, n in card["pieces"].items())
    tables = (
        "voices",
        "keys",
        "periods",
        "composers",
        "instrumentations",
        "differences",
        "rejected",
    )
    return "\n\n".join(
        [
            f"# {title}",
            f"{sum(card['pieces'].values()):,} pieces ({splits}), {card['bars']:,} bars, "
            f"{card['characters']:,} characters. {sum(card['rejected'].values()):,} were left "
            "out; `rejected.jsonl` says which, and why.",
            "![Distributions](card.png)",
            "`text` is interleaved ABC in the key of the score, with all rests; `key` is the "
            "major key that has its signature; period, composer and instrumentation are empty "
            "where they are not known. `differences` counts pieces whose text has a few notes "
            "more or fewer than their file.",
            *(f"## {name.capitalize()}\n\n{_table(card[name])}" for name in tables),
            "## Made with\n\n" + "\n".join(f"- {k}: {v}" for k, v in card["made_with"].items()),
        ]
    ) + "\n"  # fmt: skip


def _table(values: Mapping[str, int]) -> str:
    lines = [f"| {name} | {n:,} |" for name, n in list(values.items())[:_SHOWN]]
    if len(values) > _SHOWN:
        lines.append(f"| {len(values) - _SHOWN} more in `card.json` | |")
    return "\n".join(["| | pieces |", "| --- | ---: |", *lines]) if lines else "None."


def _sum(count: Counter[int]) -> int:
    return sum(value * pieces for value, pieces in count.items())


def _by_frequency(count: Counter[str]) -> dict[str, int]:
    return {_shown(name): n for name, n in count.most_common()}


def _shown(name: object) -> str:
    return str(name) or "unknown"
