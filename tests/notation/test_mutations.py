"""Real scores with typing errors: each is refused in one sentence, or is read and printed alike."""

from contextlib import suppress

import pytest

from notagen.errors import NotationError
from notagen.notation import Tune, tokens
from notagen.notation.pitches import sounds
from notagen.notation.rests import omit
from notagen.reward import bar_patches
from tests.helpers.mutations import mutations

BARS = 12  # of each piece
SOUNDING = {"note", "rest", "chord"}


@pytest.fixture(scope="module")
def texts(rows) -> list[str]:
    """The recorded pieces in all three layouts."""
    tunes = [Tune.parse(row["text"]) for row in rows]
    beginnings = [Tune(tune.header, tune.bars[:BARS]) for tune in tunes]
    return [
        text
        for tune in beginnings
        for text in (
            tune.to_interleaved(),
            tune.to_interleaved(omit_rests=True, stream_marks=True),
            tune.to_standard(),
        )
    ]


def check(text: str) -> bool:
    """Whether the text is a score; every function works on it, or says why not."""
    try:
        tune = Tune.parse(text)
    except NotationError:
        return False
    for stream_marks in (False, True):
        assert Tune.parse(tune.to_interleaved(stream_marks=stream_marks)) == tune
    assert Tune(tune.header, omit(tune.bars)) == tune.omit_rests()
    for function in (
        lambda: tune.key,
        lambda: tune.metre,
        lambda: tune.unit_length,
        lambda: tune.transpose("Bb"),
        lambda: [*sounds(tune, tune.voices[0])],
        lambda: bar_patches.encode(bar_patches.normal_form(tune)),
        lambda: standard_is_stable(tune),
    ):
        with suppress(NotationError):
            function()
    tune.alignment()
    return True


def standard_is_stable(tune: Tune) -> None:
    """For ABC alone: one voice's bars stand side by side there, and so would an open quote in one
    bar and another in the next, and an ending at the beginning of a bar and the barline before."""
    read = [[tokens(bar.text) for bar in voices.values()] for voices in tune.complete_rests().bars]
    kinds = [[[token.kind for token in bar] for bar in voices] for voices in read]
    if any("other" in bar or "ending" in bar for voices in kinds for bar in voices):
        return
    if all(SOUNDING & {*bar} for bar in kinds[0]):
        once = tune.to_standard()
        assert Tune.parse(once).to_standard() == once


def test_mutated_scores_are_refused_or_read_and_printed_alike(texts):
    accepted = sum(map(check, mutations(texts, 1000, seed=0)))
    assert 500 < accepted < 800


@pytest.mark.slow
def test_many_mutated_scores(texts):
    assert sum(map(check, mutations(texts, 20_000, seed=1))) > 10_000
