"""Faults at the k-th call that changes a file: the same command again ends as if undisturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import faults
from tests.chaos.faults import EXIT_CODES, At, Fault, Outcome
from tests.chaos.scenarios import SCENARIOS, Scenario, give

pytestmark = pytest.mark.chaos

KINDS = [fault for fault in Fault if fault is not Fault.NONE]
CASES = [
    pytest.param(
        scenario,
        number,
        id=f"{scenario.name}-{number}-{KINDS[number % len(KINDS)].name.lower()}",
        marks=pytest.mark.xdist_group(scenario.name),
    )
    for scenario in SCENARIOS
    for number in range(scenario.faults)
]


@pytest.fixture(scope="session")
def given(rows, tmp_path_factory) -> Path:
    """What the commands use, made once; faults are loaded into processes from here on."""
    folder = tmp_path_factory.mktemp("given")
    give(rows, folder)
    faults.load(folder)
    return folder


def run(scenario: Scenario, given: Path, folder: Path, at: At | None = None) -> Outcome:
    return faults.run(folder, scenario.command(given), scenario.ranks, at)


@pytest.fixture(scope="session")
def undisturbed(given, tmp_path_factory) -> Callable[[Scenario], tuple[Outcome, Any]]:
    """Runs a scenario without a fault, once."""
    known: dict[str, tuple[Outcome, Any]] = {}

    def run_once(scenario: Scenario) -> tuple[Outcome, Any]:
        if scenario.name not in known:
            folder = tmp_path_factory.mktemp(scenario.name) / "work"
            folder.mkdir()
            scenario.before(given, folder)
            outcome = run(scenario, given, folder)
            assert not any(outcome.codes), "\n".join(outcome.logs)
            known[scenario.name] = outcome, scenario.result(folder)
        return known[scenario.name]

    return run_once


@pytest.mark.parametrize(("scenario", "number"), CASES)
def test_a_command_ends_as_if_undisturbed(scenario, number, given, undisturbed, tmp_path):
    outcome, expected = undisturbed(scenario)
    rank = number // len(KINDS) % scenario.ranks
    call = 1 + outcome.calls[rank] * number // scenario.faults
    at = At(KINDS[number % len(KINDS)], call, rank)
    folder = tmp_path / "work"
    folder.mkdir()
    scenario.before(given, folder)
    cut = run(scenario, given, folder, at)
    said = "\n".join(cut.logs)
    assert "Traceback" not in said, f"{at}\n{said}"
    assert cut.codes[rank] in EXIT_CODES[at.fault], f"{at}\n{said}"
    if any(cut.codes):
        again = run(scenario, given, folder)
        said_then = "\n".join(again.logs)
        assert not any(again.codes) or scenario.done in said_then, f"{at}\n{said}\n{said_then}"
    assert scenario.result(folder) == expected, f"{at}\n{said}"
    left = [path for path in folder.rglob("*") if "unfinished" in path.name]
    assert not left, f"{at}\n{said}"
