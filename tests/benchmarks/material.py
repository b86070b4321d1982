"""What the benchmarks work on: the models that the commands make, and recorded pieces."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from benchmarks.reference import Reference
from notagen.model import ModelConfig, NotaGen
from notagen.model.published import to_published
from notagen.notation import Tune
from notagen.patches import encode

_TESTS = Path(__file__).parents[1]
_SEED = 0


def size(name: str) -> ModelConfig:
    """A size by the name it has in ``conf/model``."""
    given = OmegaConf.load(_TESTS.parent / "conf" / "model" / f"{name}.yaml")
    assert isinstance(given, DictConfig)
    return ModelConfig(**{field.name: given[field.name] for field in fields(ModelConfig)})


def our_model(config: ModelConfig) -> NotaGen:
    """Random weights, the same in every process."""
    torch.manual_seed(_SEED)
    return NotaGen(config)


def reference_model(config: ModelConfig) -> Reference:
    """The reference with the weights of :func:`our_model`."""
    reference = Reference(config)
    reference.load_state_dict(to_published(our_model(config).state_dict()))
    return reference


def texts() -> list[str]:
    """Recorded chorales, quartet movements and a rag, as models read them: rests left out."""
    recorded = json.loads((_TESTS / "golden" / "text_layer.json").read_text())["pieces"]
    tunes = [Tune.parse(piece["interleaved"]) for piece in recorded]
    return [tune.to_interleaved(omit_rests=True) for tune in tunes]


def score(patches: int, start: int = 0) -> Tensor:
    """So many patches of the recorded pieces, one piece after another; uint8 [patches, 16]."""
    every = np.concatenate([encode(text) for text in texts()])
    return torch.from_numpy(every[(start + np.arange(patches)) % len(every)])
