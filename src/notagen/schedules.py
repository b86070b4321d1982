"""Learning rates that transformers has only in numbers of steps."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_wsd_schedule

from notagen.errors import UserError


def warmup_stable_decay(
    optimizer: Optimizer, num_warmup_steps: int, num_training_steps: int, decay_share: float
) -> LRScheduler:
    """Warm-up, constant, then down to zero as 1 - sqrt(progress) (arXiv 2405.18392, section 3).

    A run can be made longer from any checkpoint before the decay.

    Args:
        optimizer: whose rates are peak rates.
        num_warmup_steps: in a straight line from zero.
        num_training_steps: of the whole run.
        decay_share: of all steps, at the end.

    Raises:
        UserError: warm-up and decay are longer than the run.
    """
    decay = round(decay_share * num_training_steps)
    stable = num_training_steps - num_warmup_steps - decay
    if stable < 0:
        raise UserError(
            f"{num_warmup_steps} steps of warm-up and {decay} of decay do not fit into "
            f"{num_training_steps}; lower schedule.num_warmup_steps or schedule.decay_share"
        )
    schedule: LRScheduler = get_wsd_schedule(
        optimizer, num_warmup_steps, decay, num_stable_steps=stable, decay_type="1-sqrt"
    )
    return schedule
