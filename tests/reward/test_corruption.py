"""Music made worse is still music that parses, with what was promised left alone."""

from collections import Counter

import numpy as np
import pytest

from notagen.notation import Tune
from notagen.reward.corruption import (
    scatter_notes,
    scatter_some_notes,
    shuffle_bars,
    shuffle_voices,
)

EVERY = [shuffle_bars, shuffle_voices, scatter_some_notes, scatter_notes]


@pytest.fixture
def tunes(rows):
    return [Tune.parse(row["text"]) for row in rows]


@pytest.mark.parametrize("corrupt", EVERY)
def test_it_is_another_tune_that_parses(tunes, corrupt):
    rng = np.random.default_rng(0)
    for tune in tunes:
        worse = corrupt(tune, rng)
        assert worse != tune
        assert Tune.parse(worse.to_interleaved()) == worse
        assert len(worse.bars) == len(tune.bars)


@pytest.mark.parametrize("corrupt", EVERY)
def test_the_same_seed_corrupts_the_same(tunes, corrupt):
    once, again = (corrupt(tunes[0], np.random.default_rng(3)) for _ in range(2))
    assert once == again


def test_shuffled_bars_are_the_same_bars(tunes):
    for tune in tunes:
        worse = shuffle_bars(tune, np.random.default_rng(0))
        texts, before = ([str(bar) for bar in t.bars] for t in (worse, tune))
        assert Counter(texts) == Counter(before)
        assert (texts[0], texts[-1]) == (before[0], before[-1])


def test_shuffled_voices_keep_their_own_bars(tunes):
    for tune in tunes:
        worse = shuffle_voices(tune, np.random.default_rng(0))
        for voice in tune.voices:
            texts, before = ([str(bar[voice]) for bar in t.bars] for t in (worse, tune))
            assert Counter(texts) == Counter(before)


def test_scattered_notes_keep_their_rhythm_and_marks(tunes):
    tune = Tune.parse('K:C\nV:1\n[V:1][K:G]"Am"!trill!c2 (3def|\n')
    worse = scatter_notes(tune, np.random.default_rng(0)).to_interleaved()
    assert worse.startswith('K:C\nV:1\n[V:1][K:G]"Am"!trill!')
    for tune in tunes:
        worse = scatter_notes(tune, np.random.default_rng(0))
        assert worse.alignment() == tune.alignment()


@pytest.mark.parametrize("bars", [1, 2, 3])
def test_very_short_tunes_are_left_whole(bars):
    tune = Tune.parse("K:C\nV:1\n" + "[V:1]c4|\n" * bars)
    assert len(shuffle_bars(tune, np.random.default_rng(0)).bars) == bars
