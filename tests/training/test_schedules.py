import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.optim import SGD

from notagen.config import CONF, build
from notagen.errors import UserError
from notagen.training.optim import Muon

SCHEDULES = sorted(path.stem for path in (CONF / "schedule").glob("*.yaml"))


def rates(schedule: str, *more: str, optimizer: torch.optim.Optimizer | None = None) -> list[float]:
    """Share of the peak rate at ten steps, three of them warm-up, and after the last."""
    overrides = (f"schedule={schedule}", "stage.max_steps=10", "schedule.num_warmup_steps=3")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*overrides, *more])
    optimizer = optimizer or SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = build(config.schedule)(optimizer)
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(10):
        optimizer.step()
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_begins_with_warm_up(schedule):
    assert rates(schedule)[:4] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_constant_stays():
    assert rates("constant")[3:] == [1.0] * 8


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_the_others_end_at_zero_with_the_run(schedule):
    assert rates(schedule)[-1] == pytest.approx(0, abs=1e-9)
    assert rates(schedule)[-2] > 0


def test_wsd_is_constant_until_its_decay():
    found = rates("wsd", "schedule.decay_fraction=0.4")
    assert found[3:7] == pytest.approx([1.0] * 4)
    assert found[6:] == pytest.approx([1 - (step / 4) ** 0.5 for step in range(5)])


def test_a_decay_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"3 steps of warm-up and 8 of decay do not fit into 10"):
        rates("wsd", "schedule.decay_fraction=0.8")


def test_both_rates_of_muon_follow():
    parameters = [
        (name, torch.nn.Parameter(torch.ones(2, 2))) for name in ("net.h.0.weight", "wte.weight")
    ]
    for _, parameter in parameters:
        parameter.grad = torch.ones(2, 2)
    muon = Muon(parameters, lr=1.0, adamw_lr=0.5)
    rates("cosine", optimizer=muon)
    assert [group["lr"] for group in muon.param_groups] == pytest.approx([0, 0], abs=1e-9)
    assert [group["initial_lr"] for group in muon.param_groups] == [1.0, 0.5]
