"""python -m notagen.probe."""

import json

import pytest
import torch

from notagen.data import storage
from notagen.reward import EncoderConfig, MusicEncoder
from notagen.reward.probes import label_probe, order_probe


@pytest.fixture(scope="module")
def split(corpus):
    return storage.read(corpus, "train"), storage.read(corpus, "validation")


class ByVoices:
    """Features that know how many voices a piece has, and nothing else."""

    def encode(self, texts):
        return torch.tensor([[float(text.count("\nV:")), 1.0] for text in texts])


class Constant:
    """Features that know nothing."""

    def encode(self, texts):
        return torch.ones(len(texts), 2)


def labelled(rows):
    """The rows, with the instrumentation that their voices tell."""
    kinds = ["Chamber" if row["voices"] > 4 else "Choral" for row in rows]
    return rows.remove_columns("instrumentation").add_column("instrumentation", kinds)


def test_a_label_that_the_features_tell_is_read_off(split):
    train = labelled(split[0])
    probe = label_probe(ByVoices(), train, train, "instrumentation", 10)
    assert probe.classes == 2
    assert probe.accuracy == 1
    assert probe.majority < 1
    blind = label_probe(Constant(), train, train, "instrumentation", 10)
    assert blind.accuracy == pytest.approx(blind.majority)
    assert blind.balanced_accuracy == 0.5


def test_an_encoder_that_hears_nothing_finds_no_order(split):
    [probe] = order_probe(Constant(), *split, min_real=1, max_per_label=10, seed=0)
    assert probe.cosine["real"] == probe.cosine["noise"] == pytest.approx(1)
    assert probe.in_order == 0
    assert set(probe.below_real.values()) == {0}


def test_kinds_with_few_pieces_are_left_out(split):
    assert order_probe(Constant(), *split, min_real=7, max_per_label=10, seed=0) == []


def test_the_command_reports_and_keeps_features(run, corpus, capfd, tmp_path):
    sizes = EncoderConfig(layers=1, hidden_size=64, feature_size=8, patch_length=64)
    MusicEncoder(sizes).save_pretrained(tmp_path / "model")
    here = (f"corpus.prepared={corpus}", "min_real=1", "columns=[]", "out=probe.json")
    run("probe", f"reward.name={tmp_path / 'model'}", *here)
    [order] = json.loads((tmp_path / "probe.json").read_text())
    assert order["kind"] == "Classical, Haydn, Joseph, Chamber"
    assert order["pieces"] == 3
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 5
    assert "mean cosine real" in capfd.readouterr().out
