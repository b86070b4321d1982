import csv
import json
import re
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from notagen.model import ModelConfig, NotaGen
from tests.helpers.overrides import small


def test_pretrain_end_to_end(run, corpus, capfd):
    run("train", *small(corpus, "run=first"))
    out = Path("runs/first/pretrain")
    model = NotaGen.from_pretrained(out / "model")
    assert model.config.hidden_size == 64
    best = torch.load(out / "checkpoints" / "best.ckpt", weights_only=True)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, best["state_dict"][f"model.{name}"])
    assert json.loads((out / "model" / "prompts.json").read_text()) == []

    events = EventAccumulator(str(out), size_guidance={"images": 0}).Reload()
    scalars = set(events.Tags()["scalars"])
    assert {
        "train/loss",
        "val/loss",
        "val/bits_per_character",
        "lr-AdamW",
        "train/characters_per_second",
        "train/data_wait",
    } <= scalars
    assert "sample/text/text_summary" in events.Tags()["tensors"]
    rates = [event.value for event in events.Scalars("lr-AdamW")]
    assert rates == pytest.approx([0, 0.0015, 0.003, 0.003]), "two steps of warm-up"
    assert "step 4/4" in capfd.readouterr().out


def test_an_earlier_run_is_not_overwritten(run, corpus):
    run("train", *small(corpus, "run=once"))
    weights = Path("runs/once/pretrain/model/model.safetensors")
    before = weights.read_bytes()
    with pytest.raises(SystemExit, match="resume=true"):
        run("train", *small(corpus, "run=once"))
    assert weights.read_bytes() == before


@pytest.mark.parametrize("stop", [2, 3, 4], ids=["in the first epoch", "at its end", "later"])
@pytest.mark.parametrize("workers", [0, 1])
def test_resume_goes_on_with_the_same_batches(run, corpus, stop, workers):
    """Five steps at once, and in two parts, end in the same weights; three are an epoch."""
    steps = ("trainer.val_check_interval=1", f"stage.data.workers={workers}")
    run("train", *small(corpus, "run=whole", *steps, "stage.max_steps=5"))
    run("train", *small(corpus, "run=halves", *steps, f"stage.max_steps={stop}"))
    run("train", *small(corpus, "run=halves", *steps, "stage.max_steps=5", "resume=true"))
    whole, halves = (
        torch.load(f"runs/{name}/pretrain/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "halves")
    )
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name


def test_resume_with_another_batch_size_is_refused(run, corpus):
    run("train", *small(corpus, "run=sizes", "stage.max_steps=2"))
    with pytest.raises(SystemExit, match="batch_size=2"):
        run("train", *small(corpus, "run=sizes", "stage.data.batch_size=1", "resume=true"))


def test_a_missing_corpus_is_said_in_one_sentence(run, tmp_path):
    with pytest.raises(SystemExit, match=r"no prepared corpus.*notagen\.prepare"):
        run("train", *small(tmp_path / "nowhere"))


def test_a_corpus_smaller_than_a_batch_is_refused(run, corpus):
    with pytest.raises(SystemExit, match="fewer than one batch"):
        run("train", *small(corpus, "stage.data.batch_size=7"))


def test_nothing_to_resume_is_said(run, corpus):
    with pytest.raises(SystemExit, match="nothing to resume"):
        run("train", *small(corpus, "resume=true"))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("resume=maybe", "resume must be true, false or auto, not maybe"),
        ("stage.max_steps=0", "stage.max_steps must be a whole number from 1 on, not 0"),
        (
            "stage.data.transpose=some",
            "stage.data.transpose must be all, near or original, not some",
        ),
        ("stage.data.where='voices == 77'", "no training piece with voices == 77"),
        ("trainer=gpu", "No supported gpu backend found"),
    ],
)
def test_what_cannot_be_trained_is_said(run, corpus, key, said):
    if key == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit, match=said):
        run("train", *small(corpus, key))


def test_iterations_are_counted_from_one(run):
    with pytest.raises(SystemExit, match="iteration must be a whole number from 1 on"):
        run("train", "stage=dpo", "iteration=0")


def test_stages_follow_one_another(run, corpus):
    """pretrain, then finetune: found by itself, conditioned, starting from its weights."""
    with pytest.raises(SystemExit, match="starts from other weights"):
        run("train", *small(corpus, "stage=finetune", "run=chain"))
    run("train", *small(corpus, "run=chain"))
    still = ("optimizer.lr=0.0", "optimizer.weight_decay=0.0")
    run("train", *small(corpus, "stage=finetune", "run=chain", *still))
    before = NotaGen.from_pretrained("runs/chain/pretrain/model").state_dict()
    after = NotaGen.from_pretrained("runs/chain/finetune/model").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    prompts = json.loads(Path("runs/chain/finetune/model/prompts.json").read_text())
    assert prompts == [["Classical", "Haydn, Joseph", "Chamber"]]
    with pytest.raises(SystemExit, match="was not trained with Classical, Cage, John, Chamber"):
        run(
            "generate",
            "weights=runs/chain/finetune/model",
            "prompt.period=Classical",
            "prompt.composer='Cage, John'",
            "prompt.instrumentation=Chamber",
        )
    elsewhere = ("run=new/run", "stage.starts_from=[../../chain/pretrain]", *still)
    run("train", *small(corpus, "stage=finetune", *elsewhere))
    found = NotaGen.from_pretrained("runs/new/run/finetune/model").state_dict()
    assert all(torch.equal(before[name], found[name]) for name in before)


def test_weights_of_another_size_are_refused(run, corpus):
    run("train", *small(corpus, "run=one"))
    start = ("run=two", "init_from=runs/one/pretrain/checkpoints/best.ckpt")
    with pytest.raises(SystemExit, match="of another size"):
        run("train", *small(corpus, *start, "model.hidden_size=128"))
    with pytest.raises(SystemExit, match="no weights at nowhere"):
        run("train", *small(corpus, "run=two", "init_from=nowhere"))
    run("train", *small(corpus, *start))


def test_weights_of_an_encoder_are_refused(run, corpus):
    Path("encoder").mkdir()
    Path("encoder/config.json").write_text('{"layers": 3, "hidden_size": 64}')
    with pytest.raises(SystemExit, match="encoder: it holds another model than a NotaGen"):
        run("train", *small(corpus, "init_from=encoder"))


def test_posttrain_chooses_pieces(run, corpus):
    run("train", *small(corpus, "run=part"))
    posttrain = ("stage=posttrain", "run=part", "stage.data.batch_size=1")
    with pytest.raises(SystemExit, match=r"cannot choose pieces.*columns are piece"):
        run("train", *small(corpus, *posttrain, "stage.data.where='colour == 3'"))
    with pytest.raises(SystemExit, match="no validation pieces"):
        run("train", *small(corpus, *posttrain, "stage.data.where='voices == 7'"))
    run("train", *small(corpus, *posttrain, "stage.data.where='voices == 4'"))
    assert Path("runs/part/posttrain/model/model.safetensors").exists()


def test_a_dry_run_leaves_nothing(run, corpus):
    run("train", *small(corpus, "run=dry", "trainer.fast_dev_run=true"))
    assert not Path("runs/dry/pretrain/model").exists()


def test_a_run_without_validation_still_exports(run, corpus):
    run("train", *small(corpus, "run=short", "stage.max_steps=1"))
    assert Path("runs/short/pretrain/model/model.safetensors").exists()


def test_the_first_step_of_a_warm_up_moves_nothing(run, corpus):
    """The rate rises from zero: the optimizer that steps is the one that is scheduled."""
    run("train", *small(corpus, "stage.max_steps=1", "schedule.num_warmup_steps=1000"))
    torch.manual_seed(0)
    start = NotaGen(ModelConfig(1, 1, 64, patch_length=128, dropout=0.1)).state_dict()
    after = NotaGen.from_pretrained("runs/default/pretrain/model").state_dict()
    assert all(torch.equal(start[name], after[name]) for name in start)
    run(
        "train",
        *small(corpus, "stage.max_steps=2", "schedule.num_warmup_steps=1000", "resume=true"),
    )
    after = NotaGen.from_pretrained("runs/default/pretrain/model").state_dict()
    moved = (after["char_decoder.wte.weight"] - start["char_decoder.wte.weight"]).abs().max()
    assert moved == pytest.approx(3e-3 / 1000, rel=0.01), "a thousandth of the rate"


def test_validation_does_not_depend_on_batches_or_draws(run, corpus):
    """Three pieces in one batch, smaller than those of training, or in two; any seed."""
    still = ("stage.max_steps=1", "schedule.num_warmup_steps=9", "trainer.val_check_interval=1")
    found = []
    for batch_size, seed in ((6, 0), (2, 1)):
        data = (f"stage.data.batch_size={batch_size}", f"stage.data.seed={seed}")
        run("train", *small(corpus, f"run=of{batch_size}", *still, *data))
        events = EventAccumulator(f"runs/of{batch_size}/pretrain").Reload()
        found.append(
            [events.Scalars(f"val/{name}")[0].value for name in ("loss", "bits_per_character")]
        )
    assert found[0] == pytest.approx(found[1], abs=1e-5)


def test_no_result_depends_on_the_number_of_workers(run, corpus):
    for workers in (0, 2):
        run("train", *small(corpus, f"run=by{workers}", f"stage.data.workers={workers}"))
    alone, helped = (
        NotaGen.from_pretrained(f"runs/by{n}/pretrain/model").state_dict() for n in (0, 2)
    )
    assert all(torch.equal(alone[name], helped[name]) for name in alone)


def test_a_sweep_leaves_a_table(run, corpus, capfd):
    """One job diverges and the others are compared; each has a folder of its own."""
    run("train", "-m", *small(corpus, "run=swept", "optimizer.lr=1e-4,1e-2,1e30"))
    [table] = Path("runs/swept/sweeps").glob("*/table.csv")
    rows = list(csv.DictReader(table.open()))
    assert [float(row["optimizer.lr"]) for row in rows] == [1e-2, 1e-4, 1e30], "best first"
    for row in rows[:2]:
        best = torch.load(Path(row["folder"], "checkpoints/best.ckpt"), weights_only=True)
        assert int(row["steps"]) == best["global_step"]
        assert float(row["val/loss"]) == best["validation"]["val/loss"]
        assert float(row["val/bits_per_character"]) > 0
        assert Path(row["folder"], "model/model.safetensors").exists()
    assert rows[0]["folder"] == "runs/swept/pretrain/optimizer.lr=0.01"
    assert re.search("the loss is (nan|inf)|predicts NaN", rows[2]["failed"])
    assert table.read_text().splitlines()[0].startswith("optimizer.lr,val/loss")
    assert f"table: {table}" in capfd.readouterr().out


def test_validation_goes_by_the_clock(run, corpus):
    """Every moment; the last checkpoint is whole, and from it training goes on."""
    clock = [key for key in small(corpus, "~callbacks.sample") if "val_check" not in key]
    clock.append("trainer.val_check_interval=00:00:00:00")
    run("train", *clock, "stage.max_steps=2")
    run("train", *clock, "resume=true")
    events = EventAccumulator("runs/default/pretrain").Reload()
    assert [event.step for event in events.Scalars("val/loss")][-1] == 3


@pytest.mark.parametrize("off", ["~callbacks.progress", "callbacks.progress=null"])
def test_without_a_progress_bar_there_is_none(run, corpus, capfd, off):
    run("train", *small(corpus, "stage.max_steps=1"))
    assert "Epoch 0 " in capfd.readouterr().out
    run("train", *small(corpus, "run=bare", "stage.max_steps=1", off))
    assert "Epoch" not in "".join(capfd.readouterr())


def test_no_notice_of_a_small_corpus(run, corpus, recwarn):
    run("train", *small(corpus, "trainer.log_every_n_steps=10"))
    assert not [warning for warning in recwarn if "logging interval" in str(warning.message)]


def test_bfloat16_trains_and_clips(run, corpus):
    """Lightning by itself would refuse to clip before a fused step in mixed precision."""
    run("train", *small(corpus, "trainer.precision=bf16-mixed", "~callbacks.sample"))
    events = EventAccumulator("runs/default/pretrain").Reload()
    losses = [event.value for event in events.Scalars("train/loss")]
    assert losses[-1] < losses[0] - 0.1
