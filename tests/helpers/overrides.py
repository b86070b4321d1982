"""Hydra overrides that the tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def small(corpus: Path, *more: str) -> Sequence[str]:
    """Overrides that make a training run tiny."""
    return (
        f"corpus.prepared={corpus}",
        "model=nano",
        "model.patch_layers=1",
        "model.hidden_size=64",
        "model.patch_length=128",
        "stage.max_steps=4",
        "stage.data.batch_size=2",
        "stage.data.workers=0",
        "trainer.val_check_interval=2",
        "trainer.log_every_n_steps=1",
        "schedule.num_warmup_steps=2",
        *more,
    )
