"""Optimizers and schedules: Muon, warmup-stable-decay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import torch
from annotated_types import Interval
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_wsd_schedule

from notagen.errors import UserError
from notagen.ranges import Count, CountOrZero, Fraction, PositiveOrZero, Rate

# Jordan's quintic, whose fixed cycle lies around 1: five steps bring singular values to 0.7-1.2.
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Muon for the matrices of the blocks, AdamW for embeddings, gains and biases.

    Args:
        named_parameters: names and parameters; a block's are recognised by ``.h.`` in the name.
        lr: of the matrices; an update has about the length sqrt(rows), whatever the gradient.
        momentum: of the matrices, Nesterov's.
        adamw_lr: of the others.
        betas: of the others.
        weight_decay: of all.
        iterations: of the orthogonalisation.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        lr: PositiveOrZero,
        adamw_lr: PositiveOrZero,
        momentum: Rate = 0.95,
        betas: tuple[Rate, Rate] = (0.9, 0.95),
        weight_decay: PositiveOrZero = 0.01,
        iterations: Annotated[int, Interval(ge=0, le=100)] = 5,
    ) -> None:
        matrices: list[tuple[str, nn.Parameter]] = []
        others: list[tuple[str, nn.Parameter]] = []
        for name, parameter in named_parameters:
            is_matrix = ".h." in name and parameter.ndim == 2
            (matrices if is_matrix else others).append((name, parameter))
        groups: list[dict[str, Any]] = [
            {"params": matrices, "lr": lr, "orthogonal": True},
            {"params": others, "lr": adamw_lr, "orthogonal": False},
        ]
        defaults = {
            "momentum": momentum,
            "betas": betas,
            "weight_decay": weight_decay,
            "iterations": iterations,
        }
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [parameter for parameter in group["params"] if parameter.grad is not None]
            (self._muon if group["orthogonal"] else self._adamw)(group, trained)
        return loss

    def _muon(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        by_shape: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            by_shape[parameter.shape].append(parameter)
        for shape, alike in by_shape.items():
            updates = torch.stack([self._nesterov(group["momentum"], p) for p in alike])
            # Updates of wide and tall matrices then move an output by as much.
            step = group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5
            for parameter, update in zip(
                alike, orthogonalised(updates, group["iterations"]), strict=True
            ):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-step)

    def _nesterov(self, momentum: float, parameter: nn.Parameter) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
        mean: Tensor = state["mean"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(mean, momentum)

    def _adamw(self, group: dict[str, Any], parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        states = [self.state[parameter] for parameter in parameters]
        adamw(
            list[Tensor](parameters),
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=1e-8,
            maximize=False,
        )


def orthogonalised(matrices: Tensor, iterations: int) -> Tensor:
    """The nearest matrices with singular values around 1, by Newton-Schulz iteration.

    Args:
        matrices: float [n, rows, columns].
        iterations: five reach singular values of 0.7 to 1.2 from any that is not tiny.

    Returns:
        [n, rows, columns], of the same type.
    """
    a, b, c = _QUINTIC
    x = matrices.mT if matrices.shape[-2] > matrices.shape[-1] else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if matrices.shape[-2] > matrices.shape[-1] else x


def warmup_stable_decay(
    optimizer: Optimizer,
    num_warmup_steps: CountOrZero,
    num_training_steps: Count,
    decay_fraction: Fraction,
) -> LRScheduler:
    """Warm-up, constant, then down to zero as 1 - sqrt(progress) (arXiv 2405.18392, section 3).

    A run can be made longer from any checkpoint before the decay.

    Args:
        optimizer: whose rates are peak rates.
        num_warmup_steps: in a straight line from zero.
        num_training_steps: of the whole run.
        decay_fraction: of all steps, at the end.

    Raises:
        UserError: warm-up and decay are longer than the run.
    """
    decay = round(decay_fraction * num_training_steps)
    stable = num_training_steps - num_warmup_steps - decay
    if stable < 0:
        raise UserError(
            f"{num_warmup_steps} steps of warm-up and {decay} of decay do not fit into "
            f"{num_training_steps}; lower schedule.num_warmup_steps or schedule.decay_fraction"
        )
    schedule: LRScheduler = get_wsd_schedule(
        optimizer, num_warmup_steps, decay, num_stable_steps=stable, decay_type="1-sqrt"
    )
    return schedule
