"""Scores of each piece, and reasons not to choose it: copies, scattered instruments."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, TypedDict

from notagen.dpo.rollout import PromptGroup, Sample
from notagen.notation import NotationError, Tune
from notagen.notation.pitches import Sound, sounds_by_bar
from notagen.reward import Features
from notagen.reward.similarity import score, self_similarity

_INSTRUMENT_NAME = re.compile(r'\bnm="([^"]*)"')

Content = tuple[tuple[tuple[tuple[int, ...], Fraction], ...], ...]
"""For each sounding voice, for each sound: semitones above the bar's first note, and duration."""


class Scored(TypedDict):
    """Scores of a piece; None where the piece cannot be read."""

    number: int
    prompt: str
    score: float | None  # cosine with the mean feature of the real pieces
    judge: float | None  # by the judge: reported only
    closest: float | None  # cosine with the nearest real piece
    excluded: str  # reason not to choose it; empty for none
    bars: int
    misaligned_bars: int
    misaligned_first_draft: int  # bars whose voices did not agree as first drawn
    longest_run: int  # bars in a row that also stand in a real piece, in whatever key


class Similarity(NamedTuple):
    """Mean cosine of two pieces with one prompt: of those written, and of the real ones."""

    written: float
    real: float


def score_group(
    samples: Sequence[Sample],
    group: PromptGroup,
    encoder: Features,
    judge: Features | None,
    max_similarity: float,
    max_misaligned: float,
) -> tuple[list[Scored], Similarity]:
    """Score the pieces written for one prompt.

    Args:
        samples: the pieces.
        group: the prompt and its real pieces.
        encoder: whose scores make preferences.
        judge: whose scores are reported only.
        max_similarity: cosine with a real piece above which a piece counts as its copy.
        max_misaligned: share of bars that did not agree as first drawn above which a piece is not
            chosen.
    """
    tunes = {sample.number: tune for sample in samples if (tune := readable(sample.text))}
    texts = [tune.to_interleaved() for tune in tunes.values()]
    features, real = encoder.encode(texts), encoder.encode(group.real)
    found = score(features, real)
    pairs = zip(found.score.tolist(), found.closest.tolist(), strict=True)
    scores = dict(zip(tunes, pairs, strict=True))
    judged: dict[int, float] = {}
    if judge is not None:
        judgements = score(judge.encode(texts), judge.encode(group.real)).score
        judged = dict(zip(tunes, judgements.tolist(), strict=True))
    index = BarIndex(map(Tune.parse, group.real))
    rows = []
    for sample in samples:
        tune = tunes.get(sample.number)
        if tune is None:
            rows.append(_unreadable(sample))
            continue
        own, closest = scores[sample.number]
        aligned = tune.complete_rests().aligned_bars()
        if not sample.complete:
            excluded = "not finished"
        elif sample.misaligned_first_draft > max_misaligned * len(aligned):
            excluded = "too many bars drawn again"
        else:
            excluded = exclusion(tune, closest, max_similarity)
        rows.append(
            Scored(
                number=sample.number,
                prompt=sample.prompt,
                score=own,
                judge=judged.get(sample.number),
                closest=closest,
                excluded=excluded,
                bars=len(aligned),
                misaligned_bars=aligned.count(False),
                misaligned_first_draft=sample.misaligned_first_draft,
                longest_run=index.longest_run(tune),
            )
        )
    return rows, Similarity(self_similarity(features), self_similarity(real))


def _unreadable(sample: Sample) -> Scored:
    return Scored(
        number=sample.number,
        prompt=sample.prompt,
        score=None,
        judge=None,
        closest=None,
        excluded="cannot be read",
        bars=0,
        misaligned_bars=0,
        misaligned_first_draft=sample.misaligned_first_draft,
        longest_run=0,
    )


def readable(text: str) -> Tune | None:
    """The tune, where every step that scores it can read it."""
    try:
        tune = Tune.parse(text)
        tune.complete_rests()
        BarIndex([tune])
    except NotationError:
        return None
    return tune


def exclusion(tune: Tune, closest: float, max_similarity: float = 0.95) -> str:
    """The first of the three published rules that a piece breaks, as a phrase; empty if none.

    Args:
        tune: the piece; rests may be left out.
        closest: cosine with the nearest real piece.
        max_similarity: above it, a piece counts as a copy.
    """
    parts = tune.complete_rests().alignment()
    disagreeing = [name for name, agrees in parts._asdict().items() if not agrees]
    if disagreeing:
        return f"voices disagree in {', '.join(disagreeing).replace('_', ' ')}"
    if closest > max_similarity:
        return "copy of a real piece"
    torn = scattered_instrument(tune)
    return f"staves of {torn} stand apart" if torn else ""


def scattered_instrument(tune: Tune) -> str:
    """Name of an instrument whose staves do not stand together; empty if all do.

    A voice that has no name of its own belongs to the instrument before it.
    """
    voices = (line for line in tune.header if line.startswith("V:"))
    names = [match[1] for line in voices if (match := _INSTRUMENT_NAME.search(line)) and match[1]]
    for position, name in enumerate(names[1:], start=1):
        if name != names[position - 1] and name in names[:position]:
            return name
    return ""


class BarIndex:
    """Index of the bars of a set of tunes, to find the longest passage shared with them.

    Two bars are the same when their voices, moved by one interval, have the same pitches and
    durations.
    """

    def __init__(self, tunes: Iterable[Tune]) -> None:
        self.positions: defaultdict[Content, list[tuple[int, int]]] = defaultdict(list)
        for number, tune in enumerate(tunes):
            for position, bar in enumerate(contents(tune)):
                self.positions[bar].append((number, position))

    def longest_run(self, tune: Tune) -> int:
        """Bars in a row of ``tune``, at most, that stand so in one of the tunes; rests end a run.

        Every bar may be moved by an interval of its own, so that no copy is missed.
        """
        longest = 0
        runs: dict[tuple[int, int], int] = {}  # that reach the bar before, by where they end
        for bar in contents(tune):
            found = self.positions.get(bar, []) if bar else []
            runs = {(piece, i): runs.get((piece, i - 1), 0) + 1 for piece, i in found}
            longest = max([longest, *runs.values()])
        return longest


def contents(tune: Tune) -> Iterator[Content]:
    """Content of each bar, equal in every key; empty where all voices rest."""
    voices = zip(*(sounds_by_bar(tune, voice) for voice in tune.voices), strict=True)
    return (_content(bar, tune.unit_length) for bar in voices)


def _content(voices: Sequence[Sequence[Sound]], unit: Fraction) -> Content:
    sounding = [voice for voice in voices if any(pitches for pitches, _ in voice)]
    first = next((pitches[0] for voice in sounding for pitches, _ in voice if pitches), 0)
    return tuple(
        tuple((tuple(pitch - first for pitch in pitches), length * unit) for pitches, length in v)
        for v in sounding
    )
