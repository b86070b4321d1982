import csv
from pathlib import Path

import pytest
import wandb
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from notagen.data import storage
from notagen.generation import FinishReason, GeneratedPiece, GenerationStats
from notagen.model import ModelConfig, NotaGen, weights
from notagen.training import checkpoints
from notagen.training.sample_callback import RenderedPiece, WandbRun, show
from tests.helpers.overrides import small


@pytest.fixture
def collections(rows, tmp_path) -> Path:
    """A corpus of two collections, of two and one validation pieces."""
    path = tmp_path / "datasets" / "two"
    names = ["quartets/1", "songs/1", "quartets/2"]
    held_out = [row | {"piece": name} for row, name in zip(rows[6:9], names, strict=True)]
    storage.write(path, {"train": rows[:6], "validation": held_out}, [], {})
    return path


def test_the_numbers_that_are_logged(run, collections):
    run("train", *small(collections, "logger=csv", "trainer.accumulate_grad_batches=2"))
    with Path("runs/default/pretrain/metrics.csv").open() as file:
        table = list(csv.DictReader(file))
    logged = {name: [float(row[name]) for row in table if row[name]] for name in table[0]}
    for name in (
        "train/loss",
        "train/bits_per_character",
        "train/gradient_norm",
        "train/characters_per_second",
        "train/data_wait",
        "train/memory",
        "lr-AdamW",
    ):
        assert logged[name], name
    assert all(0 < norm < 100 for norm in logged["train/gradient_norm"])
    assert 0.1 < logged["train/memory"][-1] < 16
    [last] = [row for row in table if row["val/loss"]][-1:]
    for measure in ("loss", "bits_per_character"):
        parts = [float(last[f"val/{name}/{measure}"]) for name in ("quartets", "songs")]
        assert min(parts) < float(last[f"val/{measure}"]) < max(parts)


def test_runs_can_be_compared_by_their_settings(run, corpus, capfd):
    """In hparams.yaml and TensorBoard's HPARAMS tab, with the number of the exported weights."""
    run("train", *small(corpus, "~callbacks.sample"))
    out = Path("runs/default/pretrain")
    best = checkpoints.numbers(out / "checkpoints/best.ckpt")["val/bits_per_character"]
    assert OmegaConf.load(out / "hparams.yaml").optimizer.lr == 0.003
    events = EventAccumulator(str(out)).Reload()
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
    assert events.Scalars("hp_metric")[-1].value == pytest.approx(best)
    assert f"curves: tensorboard --logdir {out}" in capfd.readouterr().out


def test_the_place_of_the_curves_is_that_of_the_logger(run, corpus, capfd):
    run("train", *small(corpus, "~callbacks.sample", "logger=csv", "stage.max_steps=1"))
    assert "curves: runs/default/pretrain/metrics.csv" in capfd.readouterr().out


@pytest.mark.parametrize("stage", ["pretrain", "posttrain", "finetune"])
def test_every_stage_runs_dry(run, corpus, stage):
    weights.save(NotaGen(ModelConfig(1, 1, 64, patch_length=128)), Path("start"))
    start = () if stage == "pretrain" else ("init_from=start",)
    run("train", *small(corpus, f"stage={stage}", "trainer.fast_dev_run=true", *start))
    assert not Path(f"runs/default/{stage}/model").exists()


def test_a_missing_library_is_said_in_one_sentence(run, corpus, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.loggers.wandb._WANDB_AVAILABLE", False)
    with pytest.raises(SystemExit, match=r"WandbRun needs a library.*notagen\[wandb\]"):
        run("train", *small(corpus, "logger=wandb"))


def test_a_stage_is_logged_on_wandb_without_a_network(run, corpus):
    run("train", *small(corpus, "logger=wandb", "logger.wandb.offline=true"))
    wandb.teardown()  # waits for the process that writes
    [log] = Path("runs/default/pretrain/wandb").glob("offline-run-*/run-*.wandb")
    assert b"val/bits_per_character" in log.read_bytes()
    assert b"sample/text" in log.read_bytes()


@pytest.fixture
def sample(rows) -> RenderedPiece:
    """A quartet, as if a model had written it."""
    return RenderedPiece.of(
        GeneratedPiece(0, rows[6]["text"], FinishReason.COMPLETE, GenerationStats(resamples=3))
    )


def test_a_sample_is_seen_and_heard_on_tensorboard(sample, tmp_path):
    logger = TensorBoardLogger(tmp_path, name=None, version="")
    show(sample, logger, 7)
    logger.finalize("success")
    sizes = {"images": 0, "audio": 0}
    events = EventAccumulator(str(tmp_path), size_guidance=sizes).Reload()
    tags = events.Tags()
    assert tags["images"] == ["sample/score"]
    assert tags["audio"] == ["sample/audio"]
    assert "sample/text/text_summary" in tags["tensors"]
    [error] = events.Scalars("sample/alignment_error")
    assert error.step == 7
    assert error.value == pytest.approx(sample.numbers["sample/alignment_error"])
    [image] = events.Images("sample/score")
    assert image.width == sample.page.width > 1000


def test_a_sample_is_seen_and_heard_on_wandb(sample, tmp_path):
    logger = WandbRun("one", save_dir=tmp_path, project="notagen", offline=True)
    show(sample, logger, 7)
    logger.finalize("success")
    wandb.teardown()
    [media] = tmp_path.glob("wandb/offline-run-*/files/media")
    assert {path.suffix for path in media.rglob("*.*")} == {".png", ".wav", ".json"}


def test_a_table_of_numbers_gets_the_numbers_of_a_sample(sample, tmp_path):
    logger = CSVLogger(tmp_path, name=None, version="")
    show(sample, logger, 7)
    logger.save()
    assert "sample/resamples_per_bar" in (tmp_path / "metrics.csv").read_text()


def test_what_is_no_score_is_shown_with_the_reason(tmp_path):
    sample = RenderedPiece.of(
        GeneratedPiece(0, "L:1/8\nK:C\n", FinishReason.TOO_LONG, GenerationStats())
    )
    assert sample.text.endswith("\n\nL:1/8\nK:C\n")
    assert len(sample.text) > 20
    assert sample.numbers == {}
    logger = TensorBoardLogger(tmp_path, name=None, version="")
    show(sample, logger, 7)
    logger.finalize("success")
    assert EventAccumulator(str(tmp_path)).Reload().Tags()["images"] == []
