import math

import pytest

from notagen.metrics.ngram import CharacterModel


def test_probabilities_of_a_known_case():
    # After "a" only "b" was seen, twice: one successor in two occurrences.
    model = CharacterModel(order=1).fit(["abab"])
    empty = (2 + 2 / 128) / (4 + 2)
    after_a = (2 + 1 * empty) / (2 + 1)
    assert model.bits_per_character(["ab"]) == pytest.approx(
        -(math.log2(empty) + math.log2(after_a)) / 2
    )


def test_probabilities_of_all_characters_sum_to_one():
    model = CharacterModel(order=3).fit(["the cat sat on the mat", "a bat"])
    total = sum(model._probability("the c" + chr(code), 5) for code in range(128))
    assert total == pytest.approx(1.0)


def test_longer_contexts_help_on_repeating_text():
    text = "K:C\n[V:1]cdef gabc|" * 20
    bits = [CharacterModel(order).fit([text]).bits_per_character([text]) for order in (0, 2, 6)]
    assert bits[0] > bits[1] > bits[2]
