"""Resting voices of interleaved text: leave them out, and complete them again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

from notagen.notation.bars import Bar, bar_duration, is_resting, print_length

_SHARED_STAFF = re.compile(r"\(([^()]*)\)")  # ( 1 2 ) in `%%score { ( 1 2 ) 3 }`


def omit(bars: Iterable[Mapping[str, Bar]]) -> tuple[Mapping[str, Bar], ...]:
    """Leave out the voices whose bar holds only rests; where all rest, the first voice stays."""
    return tuple(_sounding(voices) or dict([*voices.items()][:1]) for voices in bars)


def complete(
    bars: Iterable[Mapping[str, Bar]],
    voices: Sequence[str],
    invisible: Collection[str],
    bar_length: Fraction,
) -> tuple[Mapping[str, Bar], ...]:
    """Give every missing voice (or blank bar) a rest.

    The rest has the most common duration of the bar's voices and their barlines, and is written
    ``x`` for the voices in ``invisible`` and ``z`` for all others. Where no voice has a known
    duration, that of the last bar is taken, and before the first one ``bar_length`` (in units of
    ``L:``).
    """
    completed = []
    for present in bars:
        music = {voice: bar for voice, bar in present.items() if bar.text}
        bar_length = _common_duration(music.values()) or bar_length
        barlines = next(iter((music or present).values()))
        rest = print_length(bar_length) or "1"  # the published program writes x1, not x
        completed.append(
            {
                voice: music.get(voice)
                or Bar(("x" if voice in invisible else "z") + rest, barlines.right, barlines.left)
                for voice in voices
            }
        )
    return tuple(completed)


def invisible_voices(header: Iterable[str]) -> frozenset[str]:
    """Voices that share a staff with another and are not its first: ``3`` in ``( 2 3 )``."""
    scores = (line for line in header if line.startswith("%%score"))
    groups = (group.split() for line in scores for group in _SHARED_STAFF.findall(line))
    return frozenset(voice for group in groups for voice in group[1:])


def _sounding(voices: Mapping[str, Bar]) -> dict[str, Bar]:
    return {voice: bar for voice, bar in voices.items() if not is_resting(bar.text)}


def _common_duration(bars: Iterable[Bar]) -> Fraction | None:
    durations = Counter(duration for bar in bars if (duration := bar_duration(bar.text)))
    return durations.most_common(1)[0][0] if durations else None
