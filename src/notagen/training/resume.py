"""Resume with other settings: which keys may change, and the sentence about those that may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, Final

import torch
from omegaconf import DictConfig, OmegaConf
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from notagen.errors import UserError

FREE: Final = (
    # where the run lies, and how long it takes
    *("run", "out", "resume", "corpus", "trainer.default_root_dir"),
    *("stage.max_steps", "trainer.max_steps", "trainer.max_time", "stage.export", "stage.resume"),
    # devices and processes
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy"),
    "stage.data.workers",
    # what is logged, printed and validated on the way
    *("logger", "callbacks", "sampling", "reward", "trainer.log_every_n_steps", "trainer.profiler"),
    *("trainer.val_check_interval", "trainer.check_val_every_n_epoch", "trainer.limit_val_batches"),
    *("trainer.num_sanity_val_steps", "trainer.fast_dev_run", "trainer.enable_model_summary"),
    *("trainer.enable_progress_bar", "trainer.detect_anomaly"),
    # what only a new run reads, and tables from which other keys take their value
    *("stage.starts_from", "stage.first_from", "stage.warmup_steps"),
    *("stage.learning_rates", "stage.batch_sizes", "stage.transposes"),
    # what comes after the last step of stage=m3
    *("stage.module.contrasts", "stage.module.shrinkage"),
    # what an iteration of stage=dpo compares itself
    *("stage.data.iteration", "stage.samples", "stage.preferences", "stage.bounds"),
    *("stage.judge", "stage.align"),
)
"""Keys, or the nodes above them, that a resumed run may have other values of."""

NOT_FREE: Final = ("callbacks.ema", "callbacks.checkpoint.monitor", "callbacks.checkpoint.mode")
"""Keys below those of :data:`FREE` that change weights after all."""

_SIZES: Final = (
    "stage.data.batch_size",
    "stage.data.batch_patches",
    "trainer.accumulate_grad_batches",
)
_TOTAL: Final = "schedule.num_training_steps"
_SHOWN: Final = 3  # keys that a sentence names


def check(
    run: Path,
    begun: Mapping[str, Any],
    config: DictConfig,
    *,
    ranks: tuple[int, int],
    step: int,
    schedule: Any,
) -> None:
    """See that a run is resumed with the settings that it was begun with.

    Args:
        run: its folder.
        begun: the configuration it was begun with, as plain values.
        config: the one it is to be resumed with.
        ranks: their number at the checkpoint and now. Batches may be smaller by as much as there
            are more of them.
        step: of the checkpoint.
        schedule: as built from ``config``. It may be made for another number of steps where its
            rate at ``step`` stays the same.

    Raises:
        UserError: a key that is not :data:`FREE` differs.
    """
    before, now = dict(_flat(begun)), dict(_flat(OmegaConf.to_container(config, resolve=True)))
    differing = [
        key
        for key in sorted(before | now)
        if before.get(key) != now.get(key) and (_below(key, NOT_FREE) or not _below(key, FREE))
    ]
    if _pieces_a_step(before, ranks[0]) == _pieces_a_step(now, ranks[1]):
        differing = [key for key in differing if key not in _SIZES]
    if _TOTAL in differing and _same_rate(schedule, before.get(_TOTAL), now.get(_TOTAL), step):
        differing.remove(_TOTAL)
    # Of keys that follow others, the others are what a user has set.
    given = [key for key in differing if not _follows(config, key)] or differing
    # A node with another _target_ is another thing as a whole.
    targets = [key.removesuffix("._target_") for key in given if key.endswith("._target_")]
    given = [*targets, *(key for key in given if not _below(key, targets))]
    if not given:
        return
    named = ", ".join(
        f"{key}={_said(before, key)} (now {_said(now, key)})" for key in given[:_SHOWN]
    )
    more = f" and {len(given) - _SHOWN} other keys" if len(given) > _SHOWN else ""
    raise UserError(
        f"{run} was begun with {named}{more}, which stay as they are in a resumed run; set them "
        f"back, or start another run from its weights (run=NAME "
        f"init_from={run / 'checkpoints' / 'last.ckpt'})"
    )


def _flat(values: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values, of which a list is one."""
    if not isinstance(values, Mapping):
        yield above, values
        return
    for key, value in values.items():
        yield from _flat(value, f"{above}.{key}" if above else str(key))


def _below(key: str, nodes: tuple[str, ...] | list[str]) -> bool:
    return any(key == node or key.startswith(f"{node}.") for node in nodes)


def _pieces_a_step(values: Mapping[str, Any], ranks: int) -> int:
    return ranks * prod(int(values.get(key) or 1) for key in _SIZES)


def _same_rate(schedule: Any, before: Any, now: Any, step: int) -> bool:
    if before is None or now is None:
        return False
    rates = []
    for total in (before, now):
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        made = schedule(optimizer, num_training_steps=total)
        if not isinstance(made, LambdaLR):
            return False
        rates.append(made.lr_lambdas[0](step))
    return bool(rates[0] == rates[1])


def _follows(config: DictConfig, key: str) -> bool:
    above, _, name = key.rpartition(".")
    node = OmegaConf.select(config, above) if above else config
    return isinstance(node, DictConfig) and name in node and OmegaConf.is_interpolation(node, name)


def _said(values: Mapping[str, Any], key: str) -> str:
    if f"{key}._target_" in values:
        return str(values[f"{key}._target_"]).rpartition(".")[2]
    value = values.get(key)
    return "null" if value is None else str(value)
