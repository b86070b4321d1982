from math import exp, log

import pytest
import torch

from notagen.dpo.loss import preference_loss


def nats(*values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


TIED = (-100.0, -120.0, -100.0, -120.0)
# The chosen piece has lost 3 nats, the rejected one 13: a margin of 10, less 10 x 3 for DPO-P.
LOST = (-103.0, -133.0, -100.0, -120.0)
# The chosen piece has gained 4, the rejected one 1.
GAINED = (-96.0, -119.0, -100.0, -120.0)

# Worked out by hand: -log sigmoid(x) = log(1 + exp(-x)).
BY_HAND = [
    ("dpop", TIED, log(2)),
    ("dpo", TIED, log(2)),
    ("dpop", LOST, log(1 + exp(2))),  # 0.1 x (10 - 30) = -2
    ("dpo", LOST, log(1 + exp(-1))),  # 0.1 x 10 = 1
    ("dpop", GAINED, log(1 + exp(-0.3))),  # 0.1 x 3
    ("dpo", GAINED, log(1 + exp(-0.3))),
    ("ipo", TIED, 25.0),  # (0 - 1/0.2)^2
    ("ipo", LOST, 25.0),  # (10 - 5)^2
    ("ipo", GAINED, 4.0),  # (3 - 5)^2
    ("simpo", TIED, log(1 + exp(-1))),  # 0.1 x 20 - 1 = 1
    ("simpo", LOST, log(1 + exp(-2))),  # 0.1 x 30 - 1 = 2
]


@pytest.mark.parametrize(("loss", "pair", "expected"), BY_HAND)
def test_losses_worked_out_by_hand(loss, pair, expected):
    found = preference_loss(*(nats(value) for value in pair), loss_type=loss)
    assert found.loss.item() == pytest.approx(expected, rel=1e-12)


def test_pairs_do_not_mix():
    columns = [nats(*values) for values in zip(TIED, LOST, GAINED, strict=True)]
    together = preference_loss(*columns).loss.tolist()
    alone = [preference_loss(*map(nats, pair)).loss.item() for pair in (TIED, LOST, GAINED)]
    assert together == pytest.approx(alone)


@pytest.mark.parametrize("loss", ["dpop", "dpo"])
def test_at_a_tie_both_pieces_pull_alike(loss):
    """-log sigmoid has slope -1/2 at 0, so beta/2 = 0.05 each: the penalty has no say yet."""
    chosen, rejected, *reference = map(nats, TIED)
    preference_loss(chosen, rejected, *reference, loss_type=loss).loss.sum().backward()
    assert chosen.grad.item() == pytest.approx(-0.05)
    assert rejected.grad.item() == pytest.approx(0.05)


def test_a_chosen_piece_that_lost_is_pulled_up_eleven_times_as_hard():
    chosen, rejected, *reference = map(nats, LOST)
    preference_loss(chosen, rejected, *reference, dpop_lambda=10.0).loss.sum().backward()
    assert chosen.grad.item() / rejected.grad.item() == pytest.approx(-11)


def test_the_reference_is_not_used_by_simpo():
    chosen, rejected, *reference = map(nats, LOST)
    preference_loss(chosen, rejected, *reference, loss_type="simpo").loss.sum().backward()
    assert [value.grad for value in reference] == [None, None]


def test_what_is_watched():
    columns = [nats(*values) for values in zip(TIED, LOST, GAINED, strict=True)]
    found = preference_loss(*columns, beta=0.5)
    assert found.chosen_reward.tolist() == [0, -1.5, 2]
    assert found.rejected_reward.tolist() == [0, -6.5, 0.5]
    assert found.margin.tolist() == [0, 5, 1.5]
    assert found.accuracy.tolist() == [0, 1, 1]
    assert found.penalty.tolist() == [0, 3, 0]
    assert not any(part.requires_grad for part in found[1:])


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="not kto"):
        preference_loss(*map(nats, TIED), loss_type="kto")
