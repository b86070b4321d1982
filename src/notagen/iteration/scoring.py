"""What is found out about each piece: its scores, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from notagen.iteration.samples import Sample
from notagen.iteration.targets import Target
from notagen.notation import NotationError, Tune
from notagen.reward import Features
from notagen.reward.copies import BarIndex
from notagen.reward.exclusions import exclusion
from notagen.reward.scores import score, self_similarity


class Scored(TypedDict):
    """A piece; what needs it to be readable is None where it is not."""

    number: int
    target: str
    score: float | None  # cosine with the mean feature of the real pieces
    judge: float | None  # the same by an encoder that has no say
    closest: float | None  # cosine with the nearest real piece
    excluded: str  # why it must not be chosen; empty if it may
    bars: int
    misaligned_bars: int
    strayed_bars: int  # bars whose voices did not agree as first drawn
    longest_run: int  # bars in a row that also stand in a real piece, in whatever key


class Similarity(NamedTuple):
    """Mean cosine of two pieces of one target: of those written, and of the real ones."""

    written: float
    real: float


def score_target(
    samples: Sequence[Sample],
    target: Target,
    encoder: Features,
    judge: Features | None,
    most_similar: float,
    most_strayed: float,
) -> tuple[list[Scored], Similarity]:
    """Score the pieces written for one target.

    Args:
        samples: the pieces.
        target: what they were asked to be.
        encoder: whose scores make preferences.
        judge: whose scores are only reported.
        most_similar: cosine with a real piece above which a piece counts as its copy.
        most_strayed: share of bars that did not agree as first drawn above which a piece is not
            chosen.
    """
    tunes = {sample.number: tune for sample in samples if (tune := readable(sample.text))}
    texts = [tune.to_interleaved() for tune in tunes.values()]
    features, real = encoder.encode(texts), encoder.encode(target.real)
    found = score(features, real)
    pairs = zip(found.score.tolist(), found.closest.tolist(), strict=True)
    scores = dict(zip(tunes, pairs, strict=True))
    judged: dict[int, float] = {}
    if judge is not None:
        judgements = score(judge.encode(texts), judge.encode(target.real)).score
        judged = dict(zip(tunes, judgements.tolist(), strict=True))
    index = BarIndex(map(Tune.parse, target.real))
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
        elif sample.strayed > most_strayed * len(aligned):
            excluded = "too many bars drawn again"
        else:
            excluded = exclusion(tune, closest, most_similar)
        rows.append(
            Scored(
                number=sample.number,
                target=sample.target,
                score=own,
                judge=judged.get(sample.number),
                closest=closest,
                excluded=excluded,
                bars=len(aligned),
                misaligned_bars=aligned.count(False),
                strayed_bars=sample.strayed,
                longest_run=index.longest_run(tune),
            )
        )
    return rows, Similarity(self_similarity(features), self_similarity(real))


def _unreadable(sample: Sample) -> Scored:
    return Scored(
        number=sample.number,
        target=sample.target,
        score=None,
        judge=None,
        closest=None,
        excluded="cannot be read",
        bars=0,
        misaligned_bars=0,
        strayed_bars=sample.strayed,
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
