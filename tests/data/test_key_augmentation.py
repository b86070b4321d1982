from collections import Counter

import numpy as np
import pytest

from notagen.data.pieces import draw_key, near_keys
from notagen.notation import KEYS, semitones_between


@pytest.mark.parametrize("original", KEYS)
def test_near_keys_have_the_published_weights(original):
    keys, weights = near_keys(original)
    assert sum(weights) == pytest.approx(1)
    by_distance = Counter()
    for key, weight in zip(keys, weights, strict=True):
        by_distance[semitones_between(original, key)] += weight * 16
    expected = {-3: 1, -2: 2, -1: 3, 0: 4, 1: 3, 2: 2, 3: 1}
    assert dict(sorted(by_distance.items())) == pytest.approx(expected)


def test_of_keys_that_sound_alike_the_plainer_is_likelier():
    weights = dict(zip(*near_keys("C"), strict=True))
    assert weights["Db"] == pytest.approx(4 * weights["C#"])
    weights = dict(zip(*near_keys("E"), strict=True))
    assert weights["F#"] == pytest.approx(weights["Gb"])


def test_draws_follow_the_weights():
    rng = np.random.default_rng(0)
    drawn = Counter(draw_key("G", "near", rng) for _ in range(16_000))
    for key, weight in zip(*near_keys("G"), strict=True):
        assert drawn[key] / 16_000 == pytest.approx(weight, abs=0.015)
    assert {draw_key("G", "all", rng) for _ in range(400)} == set(KEYS)
