from hypothesis import given
from hypothesis import strategies as st

from notagen.dpo.pairs import Candidate, choose, groups


def pieces(scores, excluded=(), prompt="a", first=0):
    return [
        Candidate(first + i, prompt, score, "a reason" if i in excluded else "")
        for i, score in enumerate(scores)
    ]


def scores(found):
    return [piece.score for piece in found]


def test_best_and_worst_tenth():
    found = choose(pieces([i / 20 for i in range(20)]), 0.1)
    assert scores(found.chosen) == [0.95, 0.9]
    assert scores(found.rejected) == [0.0, 0.05]


def test_excluded_pieces_are_not_chosen_and_may_be_rejected():
    found = choose(pieces([i / 20 for i in range(20)], excluded=(0, 19, 17)), 0.1)
    assert scores(found.chosen) == [0.9, 0.8]
    assert scores(found.rejected) == [0.0, 0.05]


def test_at_least_one_of_each():
    found = choose(pieces([0.1, 0.9]), 0.1)
    assert (scores(found.chosen), scores(found.rejected)) == ([0.9], [0.1])


def test_nothing_to_prefer():
    assert choose(pieces([0.5]), 0.1).chosen == []
    assert choose(pieces([0.1, 0.9], excluded=(1,)), 0.1) == ([], [])
    assert choose([], 0.1) == ([], [])


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.booleans()), max_size=40),
    st.floats(0.01, 1.0),
)
def test_never_overlapping_and_never_the_wrong_way_round(drawn, fraction):
    found = choose(
        [Candidate(i, "", score, "x" if bad else "") for i, (score, bad) in enumerate(drawn)],
        fraction,
    )
    assert not set(found.chosen) & set(found.rejected)
    assert bool(found.chosen) == bool(found.rejected)
    if found.chosen:
        assert min(scores(found.chosen)) >= max(scores(found.rejected))


def test_pairs_are_of_one_prompt_unless_asked_across():
    both = pieces([0.1, 0.2, 0.3], prompt="a") + pieces([0.7, 0.8, 0.9], prompt="b", first=3)
    within = groups(both, 0.1, "within")
    assert [(scores(group.chosen), scores(group.rejected)) for group in within] == [
        ([0.3], [0.1]),
        ([0.9], [0.7]),
    ]
    [across] = groups(both, 0.1, "across")
    assert (scores(across.chosen), scores(across.rejected)) == ([0.3, 0.9], [0.1, 0.7])


def test_a_prompt_without_a_choice_is_left_out():
    both = pieces([0.1, 0.2], prompt="a", excluded=(0, 1)) + pieces([0.7, 0.8], (), "b", 2)
    for pairing in ("within", "across"):
        [group] = groups(both, 0.1, pairing)
        assert {piece.prompt for piece in group.chosen + group.rejected} == {"b"}
