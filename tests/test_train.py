import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from notagen.model import NotaGen
from overrides import small


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
    with pytest.raises(SystemExit, match="batch_size 2"):
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


def test_stages_follow_one_another(run, corpus):
    """pretrain, then finetune: found by itself, conditioned, starting from its weights."""
    with pytest.raises(SystemExit, match="goes on from other weights"):
        run("train", *small(corpus, "stage=finetune", "run=chain"))
    run("train", *small(corpus, "run=chain"))
    still = ("optimizer.lr=0.0", "optimizer.weight_decay=0.0")
    run("train", *small(corpus, "stage=finetune", "run=chain", *still))
    before = NotaGen.from_pretrained("runs/chain/pretrain/model").state_dict()
    after = NotaGen.from_pretrained("runs/chain/finetune/model").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    prompts = json.loads(Path("runs/chain/finetune/model/prompts.json").read_text())
    assert prompts == [["Classical", "Haydn, Joseph", "Chamber"]]
    with pytest.raises(SystemExit, match='composer "Cage, John" is unknown'):
        run(
            "generate",
            "weights=runs/chain/finetune/model",
            "prompt.period=Classical",
            "prompt.composer='Cage, John'",
            "prompt.instrumentation=Chamber",
        )


def test_weights_of_another_size_are_refused(run, corpus):
    run("train", *small(corpus, "run=one"))
    start = ("run=two", "init_from=runs/one/pretrain/checkpoints/best.ckpt")
    with pytest.raises(SystemExit, match="of another size"):
        run("train", *small(corpus, *start, "model.hidden_size=128"))
    with pytest.raises(SystemExit, match="no weights at nowhere"):
        run("train", *small(corpus, "run=two", "init_from=nowhere"))
    run("train", *small(corpus, *start))


def test_posttrain_chooses_pieces(run, corpus):
    run("train", *small(corpus, "run=part"))
    posttrain = ("stage=posttrain", "run=part", "stage.data.batch_size=1")
    with pytest.raises(SystemExit, match=r"cannot choose pieces.*columns are piece"):
        run("train", *small(corpus, *posttrain, "stage.data.select='colour == 3'"))
    with pytest.raises(SystemExit, match="no validation pieces"):
        run("train", *small(corpus, *posttrain, "stage.data.select='voices == 7'"))
    run("train", *small(corpus, *posttrain, "stage.data.select='voices == 4'"))
    assert Path("runs/part/posttrain/model/model.safetensors").exists()


def test_a_dry_run_leaves_nothing(run, corpus):
    run("train", *small(corpus, "run=dry", "trainer.fast_dev_run=true"))
    assert not Path("runs/dry/pretrain/model").exists()


def test_a_run_without_validation_still_exports(run, corpus):
    run("train", *small(corpus, "run=short", "stage.max_steps=1"))
    assert Path("runs/short/pretrain/model/model.safetensors").exists()
