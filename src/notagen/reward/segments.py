"""Pieces longer than an encoder reads at once: segments, and how they count in the average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from notagen.bar_patches import BarPatches


class Segment(NamedTuple):
    """A part of a piece that fits an encoder."""

    piece: int  # index of the piece it is cut from
    patches: BarPatches
    weight: int  # in the average over the piece: patches that no segment before it has


def segments(piece: int, patches: BarPatches, length: int) -> Iterator[Segment]:
    """Cut a piece to segments of ``length`` patches; the last one is the last ``length`` patches.

    As the published program does, so that the last two may overlap.
    """
    count = len(patches)
    for start in range(0, count, length):
        begin = max(0, min(start, count - length))
        yield Segment(piece, patches[begin : begin + length], min(length, count - start))


def batches(parts: Sequence[Segment], most_patches: int) -> Iterator[list[Segment]]:
    """Group segments, shortest first, so that a group padded to its longest has so many patches.

    A group has at least one segment.
    """
    group: list[Segment] = []
    for part in sorted(parts, key=lambda part: len(part.patches)):
        if group and (len(group) + 1) * len(part.patches) > most_patches:
            yield group
            group = []
        group.append(part)
    if group:
        yield group
