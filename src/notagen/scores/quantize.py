"""Quantisation of MIDI notes: the grid of each quarter, chosen by what its notes need.

In a file that a notation program wrote, onsets stand on exact fractions of a quarter, and the
simplest grid that holds them all is right, down to 64ths, triplets of those and quintuplets. In one
that was played, they stand near such fractions, and the grid weighs errors against simplicity.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import floor, sqrt
from typing import NamedTuple

from notagen.scores.midi_events import MidiNote

# Parts of a quarter, the simplest first; those behind 32 are polyrhythms on one staff.
_EXACT_GRIDS = (1, 2, 3, 4, 6, 8, 12, 5, 16, 7, 24, 9, 10, 32, 11, 13, 14, 15, 18, 20, 28, 30, 48)
_PLAYED_GRIDS = (1, 2, 3, 4, 6, 8)
_FINEST = 8  # for played quarters that none of them can tell apart
_PENALTY = 0.012  # quarters of error, for each part of a grid of played notes
_EXACTNESS = Fraction(1, 240)  # quarters, by which exact times may be rounded
_FLOAT_ERROR = 1e-9
_SIMPLE = (12, 16)
_EXACT_SHARE = 0.5  # of times on parts of these; of times at random, one of four is
_TOGETHER = Fraction(1, 16)  # quarters between the first and next note of a played chord
_GAP = Fraction(3, 16)  # quarters of silence that are articulation,
_GAP_SHARE = Fraction(3, 25)  # or this share of the note,
_LONGEST_GAP = Fraction(1, 2)  # up to this
_CHORD, _CHORD_SHARE = Fraction(1, 4), Fraction(1, 4)  # quarters, or share of it, between ends


class Quantized(NamedTuple):
    """A note on the grid, in quarters; a grace note if ``end`` is ``onset``."""

    onset: Fraction
    end: Fraction
    pitch: int


def quantize(notes: Sequence[MidiNote], division: int) -> list[Quantized]:
    """Quantise the notes of a part, given in the order of their onsets.

    Args:
        notes: of the part.
        division: ticks per quarter of the file, which says how exact it can be.
    """
    tolerance = max(_EXACTNESS, Fraction(1, 2 * division))
    onsets = sorted({one.on for one in notes})
    exact = _are_exact((one.on for one in notes), tolerance)
    starts, grids = _exact_onsets(onsets, tolerance) if exact else _played_onsets(onsets)
    targets = sorted(set(starts.values()))
    exact_ends = exact and _are_exact((one.off for one in notes), tolerance)
    made = []
    for one in notes:
        start = starts[one.on]
        end = None
        if one.off == one.on:
            end = start
        elif exact_ends:
            end = _snap(one.off, grids[floor(one.off)], tolerance)
        if end is None or (end <= start and one.off > one.on):
            end = _played_end(one, start, targets, grids[floor(start)])
        made.append(Quantized(start, end, one.pitch))
    return made if exact_ends else _with_chords_ended_together(made)


def _with_chords_ended_together(notes: Sequence[Quantized]) -> list[Quantized]:
    """End the notes of a played chord with the longest, where they end nearly together."""
    chords: defaultdict[Fraction, list[Quantized]] = defaultdict(list)
    for one in notes:
        chords[one.onset].append(one)
    made: list[Quantized] = []
    for onset, members in chords.items():
        end = max(one.end for one in members)
        for one in sorted(members, key=lambda one: one.end, reverse=True):
            if end - one.end > max(_CHORD, (end - onset) * _CHORD_SHARE) or one.end == onset:
                end = one.end
            made.append(Quantized(onset, end, one.pitch))
    return made


def _are_exact(times: Iterable[Fraction], tolerance: Fraction) -> bool:
    fits = [any(_fits(time, grid, tolerance) for grid in _SIMPLE) for time in times]
    return sum(fits) >= _EXACT_SHARE * len(fits)


def _nearest(time: Fraction, grid: int) -> Fraction:
    return Fraction(floor(time * grid + Fraction(1, 2)), grid)


def _fits(time: Fraction, grid: int, tolerance: Fraction) -> bool:
    parts = time.numerator * grid / time.denominator  # a float: fractions take ten times as long
    return abs(parts - round(parts)) <= float(tolerance) * grid + _FLOAT_ERROR


def _snap(time: Fraction, grid: int, tolerance: Fraction) -> Fraction | None:
    """The time on the quarter's grid, or on the simplest that holds it; None if none does."""
    for one in (grid, *_EXACT_GRIDS):
        if _fits(time, one, tolerance):
            return _nearest(time, one)
    return None


def _by_quarter(times: Iterable[Fraction]) -> dict[int, list[Fraction]]:
    quarters: defaultdict[int, list[Fraction]] = defaultdict(list)
    for time in times:
        quarters[floor(time)].append(time)
    return quarters


def _exact_onsets(
    onsets: Sequence[Fraction], tolerance: Fraction
) -> tuple[dict[Fraction, Fraction], defaultdict[int, int]]:
    """Quantised onsets, and the grid of each quarter."""
    starts: dict[Fraction, Fraction] = {}
    grids: defaultdict[int, int] = defaultdict(lambda: 1)
    for quarter, times in _by_quarter(onsets).items():
        fitting = (g for g in _EXACT_GRIDS if all(_fits(time, g, tolerance) for time in times))
        grids[quarter] = grid = next(fitting, _EXACT_GRIDS[-1])
        for time in times:
            starts[time] = _snap(time, grid, tolerance) or _nearest(time, grid)
    return starts, grids


def _played_onsets(
    onsets: Sequence[Fraction],
) -> tuple[dict[Fraction, Fraction], defaultdict[int, int]]:
    """Quantised onsets, and the grid of each quarter; notes of a chord begin together."""
    first: dict[Fraction, Fraction] = {}
    for onset in onsets:
        opened = next(reversed(first.values()), None)
        first[onset] = opened if opened is not None and onset - opened < _TOGETHER else onset
    starts: dict[Fraction, Fraction] = {}
    grids: defaultdict[int, int] = defaultdict(lambda: 4)
    for quarter, times in _by_quarter(dict.fromkeys(first.values())).items():
        distinct = [
            grid
            for grid in _PLAYED_GRIDS
            if len({_nearest(time, grid) for time in times}) == len(times)
        ]
        grid = min(distinct, key=lambda grid: _cost(times, grid), default=_FINEST)
        grids[quarter] = grid
        starts.update({time: _nearest(time, grid) for time in times})
    return {onset: starts[opened] for onset, opened in first.items()}, grids


def _cost(times: Sequence[Fraction], grid: int) -> float:
    errors = [float(time - _nearest(time, grid)) for time in times]
    return sqrt(sum(error * error for error in errors) / len(errors)) + _PENALTY * grid


def _played_end(one: MidiNote, start: Fraction, targets: Sequence[Fraction], grid: int) -> Fraction:
    """End of a note that a player, or a program that plays staccato, ended freely.

    It is the next onset or quarter if that is near, for a small gap is articulation; else the
    nearest half or quarter of a quarter, or the nearest part of the grid.
    """
    length = one.off - one.on
    gap = min(max(_GAP, length * _GAP_SHARE), _LONGEST_GAP)
    index = bisect_left(targets, one.off)
    near = [time for time in targets[max(index - 1, 0) : index + 1] if time > start]
    for times in (near, [Fraction(round(one.off))]):
        nearest = min(times, key=lambda time: abs(time - one.off), default=start)
        if nearest > start and abs(nearest - one.off) <= gap:
            return nearest
    ends = [_nearest(one.off, part) for part in ((grid,) if grid % 3 == 0 else (4, grid))]
    end = min(ends, key=lambda end: abs(end - one.off))
    if end > start:
        return end
    following = next(
        (time for time in targets[bisect_left(targets, start) :] if time > start), None
    )
    shortest = start + Fraction(1, max(grid, 4))
    return shortest if following is None else min(shortest, following)
