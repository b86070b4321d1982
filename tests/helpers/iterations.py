"""A tiny iteration of preference training: its folders, its keys, and pieces to begin with."""

from pathlib import Path

import torch

from notagen.dpo.rollout import Sample, SampleJournal
from notagen.model import ModelConfig, NotaGen
from notagen.notation import Tune
from notagen.reward import EncoderConfig, MusicEncoder
from tests.helpers.overrides import small

PIECES = 12
SHARE = 0.25
GIVEN = 9  # of these pieces are real ones, since a random policy writes nothing readable


def random_start(folder: Path) -> None:
    """Random weights as a fine-tuned policy and as two encoders."""
    torch.manual_seed(0)
    model = NotaGen(ModelConfig(1, 1, 64, 128, dropout=0.1))
    model.save_pretrained(folder / "runs/one/finetune/model")
    for name, width in (("encoder", 128), ("judge", 64)):
        MusicEncoder(EncoderConfig(1, width, 32, 64)).save_pretrained(folder / name)


def give_samples(rows, out: Path) -> None:
    """Real pieces, some cut short, as if the policy had written them."""
    journal = SampleJournal(out / "samples" / "rank-0.jsonl")
    for number, row in enumerate(rows[:GIVEN]):
        tune = Tune.parse(row["text"])
        bars = tune.bars[: 4 + number]
        text = Tune(tune.header, bars).to_interleaved(omit_rests=True, stream_marks=True)
        name = "Classical, Haydn, Joseph, Chamber"
        journal.add(Sample(number, name, text, complete=True, misaligned_first_draft=0))


def overrides(folder, corpus, run, *more):
    common = (
        f"out={folder}/runs/{run}/dpo-${{iteration}}",
        f"reward.name={folder}/encoder",
        f"stage.judge={folder}/judge",
        "stage=dpo",
        f"stage.samples.per_prompt={PIECES}",
        "stage.samples.min_real=2",
        "stage.samples.max_patches=24",
        "stage.samples.batch_size=1",
        f"stage.preferences.fraction={SHARE}",
        "stage.preferences.max_similarity=2",
        "callbacks.last.every_n_train_steps=1",
        "trainer.val_check_interval=4",
        "~callbacks.sample",
    )
    return [key for key in small(corpus, *common, *more) if "workers" not in key]
