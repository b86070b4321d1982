"""Real objects at small sizes, shared by the tests."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings

from notagen.data import storage
from notagen.data.storage import Row
from notagen.notation import Tune

# A shell starts a job in the background with Ctrl-C ignored, and commands would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Several tests run at a time; `make test-processors` asks for more.
torch.set_num_threads(int(os.environ.get("NOTAGEN_TEST_THREADS", "1")))

# The same examples in every run; `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile("same", derandomize=True)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile("same")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Any]:
    """Reads recorded inputs and answers of the published programs."""
    return lambda name: json.loads((GOLDEN / name).read_text())


@pytest.fixture(scope="session")
def rows(golden: Callable[[str], Any]) -> list[Row]:
    """The recorded pieces as rows of a prepared corpus."""
    result = []
    for piece in golden("text_layer.json")["pieces"]:
        tune = Tune.parse(piece["interleaved"])
        result.append(
            Row(
                piece=piece["name"],
                text=tune.to_interleaved(),
                period="Classical",
                composer="Haydn, Joseph",
                instrumentation="Chamber",
                key=tune.key,
                bars=len(tune.bars),
                voices=len(tune.voices),
                characters=len(piece["interleaved"]),
            )
        )
    return result


@pytest.fixture(scope="session")
def corpus(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared corpus of six training and three validation pieces."""
    path = tmp_path_factory.mktemp("datasets") / "small"
    storage.write(path, {"train": rows[:6], "validation": rows[6:]}, [], {"pieces": 9})
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs a command in an empty folder, as ``python -m notagen.<name> overrides...`` does.

    What Lightning puts into the environment for other ranks (LOCAL_RANK) is taken out again.
    """
    monkeypatch.chdir(tmp_path)
    environment = dict(os.environ)

    def run(name: str, *overrides: str) -> Any:
        __import__(f"notagen.{name}")
        monkeypatch.setattr(sys, "argv", [f"notagen.{name}", *overrides])
        return sys.modules[f"notagen.{name}"].main()

    yield run
    os.environ.clear()
    os.environ.update(environment)
