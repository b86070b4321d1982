"""Preference losses of pairs of pieces: DPO-P, DPO, SimPO, IPO."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from torch import Tensor
from torch.nn import functional as F

LossName = Literal["dpop", "dpo", "simpo", "ipo"]

_TIE: Final = 1e-3
"""Nats by which policy and reference differ in rounding alone: a sum over a piece depends, in its
last bits, on what else is in the batch, and must not switch the penalty on."""


class Preference(NamedTuple):
    """The loss of each pair, and what to watch beside it; all [pairs], all but ``loss`` detached.

    Attributes:
        loss: what is minimised.
        chosen_reward: ``beta`` times what the chosen piece has gained over the reference, in nats.
        rejected_reward: the same of the rejected piece.
        penalty: nats that the chosen piece has lost against the reference; 0 where it gained.
    """

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor
    penalty: Tensor

    @property
    def margin(self) -> Tensor:
        """Reward of the chosen piece minus that of the rejected one."""
        return self.chosen_reward - self.rejected_reward

    @property
    def accuracy(self) -> Tensor:
        """1 where the chosen piece has gained more."""
        return (self.margin > 0).float()


def preference_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    loss_type: LossName = "dpop",
    beta: float = 0.1,
    dpop_lambda: float = 10.0,
    simpo_gamma: float = 1.0,
) -> Preference:
    """Loss of pairs of pieces, given the log-probabilities of both under policy and reference.

    ``dpop``: DPO-P (Pal et al. 2024, equation 3; NotaGen, section 3.3), which charges
    ``dpop_lambda`` times what the chosen piece has lost, inside the sigmoid. ``dpo``: the same
    without (Rafailov et al. 2023, equation 7). ``simpo``: no reference, a margin to reach
    (Meng et al. 2024, equation 6; give it log-probabilities per character). ``ipo``: the squared
    distance from the margin 1/(2 beta) (Azar et al. 2023, equation 17).

    Where policy and reference tie, to a thousandth of a nat, there is no penalty, nor a gradient
    of it.

    Args:
        chosen, rejected, reference_chosen, reference_rejected: [pairs], nats: summed over a piece,
            or divided by its length.
        loss_type: which one.
        beta: how strongly the policy is held to the reference; for ``simpo``, the scale.
        dpop_lambda: lambda of ``dpop``.
        simpo_gamma: margin that ``simpo`` asks for, gamma.
    """
    gained, gained_rejected = chosen - reference_chosen, rejected - reference_rejected
    lost = F.threshold(-gained, _TIE, 0.0)
    if loss_type == "dpop":
        value = -F.logsigmoid(beta * (gained - gained_rejected - dpop_lambda * lost))
    elif loss_type == "dpo":
        value = -F.logsigmoid(beta * (gained - gained_rejected))
    elif loss_type == "simpo":
        value = -F.logsigmoid(beta * (chosen - rejected) - simpo_gamma)
    elif loss_type == "ipo":
        value = (gained - gained_rejected - 1 / (2 * beta)).square()
    else:
        raise ValueError(f"loss_type is dpop, dpo, simpo or ipo, not {loss_type}")
    return Preference(value, beta * gained.detach(), beta * gained_rejected.detach(), lost.detach())
