"""Golden weights of the published encoder."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden_folder():
    return Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def tiny_clamp2(golden_folder):
    return golden_folder / "tiny_clamp2.pth"


@pytest.fixture
def rng():
    return np.random.default_rng(0)
