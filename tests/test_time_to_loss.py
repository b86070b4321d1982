from dataclasses import replace

from benchmarks.time_to_loss import PRESETS, Run, table, works
from tests.helpers.overrides import small

RUN = Run("published", seed=0, reached=True, bits=1.9, steps=300, wall=6.0, cpu=9.0)


def test_a_run_ends_when_it_is_good_enough_or_has_trained_enough(corpus):
    for bits, minutes, reached, steps in ((100.0, 1e9, True, 2), (0.0, 0.0, False, 2)):
        overrides = [*PRESETS["published"], *small(corpus, "schedule.num_warmup_steps=0")]
        found = works(overrides, bits, minutes)["train"]()
        assert (found["reached"], found["steps"]) == (reached, steps)
        assert 0 < found["bits"] < 20
        assert found["wall"] > 0


def test_presets_differ_in_optimizer_and_schedule_only(corpus):
    for preset, overrides in PRESETS.items():
        keys = {override.split("=")[0] for override in overrides}
        assert keys <= {
            "optimizer",
            "schedule",
            "schedule.num_warmup_steps",
            "stage.learning_rate",
            "stage.max_steps",
        }, preset


def test_ratios_are_of_medians_over_seeds():
    runs = [replace(RUN, seed=seed, cpu=cpu) for seed, cpu in enumerate((4.0, 6.0, 20.0))]
    runs += [replace(RUN, preset="muon", seed=seed, cpu=2.0) for seed in range(3)]
    _, published, muon = table(runs, minutes=30)
    assert published.split() == ["published", "6.00", "6.00", "300", "1.0"]
    assert muon.split() == ["muon", "6.00", "2.00", "300", "3.0"]


def test_what_was_not_reached_is_said():
    runs = [replace(RUN, reached=False, cpu=30.0), replace(RUN, preset="muon", cpu=2.0)]
    _, published, muon = table(runs, minutes=30)
    assert published.split(maxsplit=1)[1] == "not reached in 30 CPU minutes by 1 of 1"
    assert muon.endswith("at least 15.0")
