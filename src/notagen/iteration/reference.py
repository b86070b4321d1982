"""What the reference thinks of the pieces that are preferred or rejected, computed once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import lightning as L

from notagen.data.preferences import PreferenceData
from notagen.iteration.files import read_facts, write_rows


def store_reference(
    fabric: L.Fabric, trainer: L.Trainer, stage: L.LightningModule, data: PreferenceData, out: Path
) -> None:
    """Compute the log-probability of each preferred or rejected piece under the policy as it is.

    They are kept with hashes of pieces and weights, and computed again only where these differ.
    """
    path = out / "reference.parquet"
    pieces = (out / "preferences.parquet").read_bytes()
    facts = {"pieces": hashlib.sha256(pieces).hexdigest(), "weights": _hash(stage)}
    known = path.exists() and read_facts(path) == facts
    fabric.barrier()
    if known:
        return
    trainer.limit_predict_batches = 1.0  # all: also where fast_dev_run says one
    predicted = trainer.predict(stage, datamodule=data)
    assert predicted is not None
    if fabric.is_global_zero:
        rows = [
            {"number": number, "log_prob": float(log_prob)}
            for number, log_prob in zip(data.pieces, predicted, strict=True)
        ]
        write_rows(rows, path, facts)
    fabric.barrier()


def _hash(stage: L.LightningModule) -> str:
    digest = hashlib.sha256()
    for name, weight in stage.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.cpu().numpy().tobytes())
    return digest.hexdigest()
