import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from notagen.model import ModelConfig, NotaGen
from tests.helpers.random_pieces import random_piece

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return GOLDEN / "tiny_notagen.pth"


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """What the published program answers with the checkpoint."""
    return json.loads((GOLDEN / "model.json").read_text())


@pytest.fixture(scope="session")
def golden_model(checkpoint: Path) -> NotaGen:
    return NotaGen.from_published(checkpoint)


@pytest.fixture(scope="session")
def golden_pieces(golden: dict[str, Any]) -> list[Tensor]:
    return [torch.tensor(piece, dtype=torch.uint8) for piece in golden["sequences"]]


@pytest.fixture
def pieces() -> list[Tensor]:
    """Ragged, two of them equally long, one as short as can be."""
    return [random_piece(length, seed) for seed, length in enumerate((9, 24, 9, 2))]


@pytest.fixture
def model() -> NotaGen:
    """Two heads, two layers on both levels, no dropout."""
    torch.manual_seed(0)
    config = ModelConfig(
        patch_layers=2, char_layers=2, hidden_size=128, patch_length=24, dropout=0.0
    )
    return NotaGen(config)
