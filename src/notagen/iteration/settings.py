"""What an iteration was begun with, so that it is not continued with something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
from omegaconf import DictConfig

from notagen.config import plain
from notagen.errors import UserError
from notagen.iteration.files import write_text


def check_settings(fabric: L.Fabric, config: DictConfig, policy: str, out: Path) -> None:
    """Keep what the steps before training were run with; refuse to go on with something else.

    Raises:
        UserError: naming the first key that differs.
    """
    settings: dict[str, Any] = {
        "seed": config.seed,
        "policy": policy,
        "corpus": config.corpus.prepared,
        "reward": config.reward.weights,
        "judge": config.stage.judge,
        "select": config.stage.data.select,
        **{f"sampling.{name}": value for name, value in plain(config.sampling).items()},
        **{f"stage.samples.{name}": value for name, value in plain(config.stage.samples).items()},
        **{f"stage.preferences.{n}": value for n, value in plain(config.stage.preferences).items()},
    }
    path = out / "settings.json"
    if fabric.is_global_zero and not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(settings, indent=1) + "\n", path)
    fabric.barrier()
    begun: dict[str, Any] = json.loads(path.read_text())
    for name in begun | settings:  # in their order
        before, now = begun.get(name), settings.get(name)
        if now != before:
            raise UserError(
                f"{out} was begun with {name}={before} and cannot go on with {now}; "
                "set it back, name another run (run=NAME), or remove the folder"
            )
