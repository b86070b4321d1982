"""python -m notagen.probe."""

import json

import pytest
import torch

from notagen.data import storage
from notagen.errors import UserError
from notagen.reward import EncoderConfig, MusicEncoder
from notagen.reward.probes import check_labels, label_probe, order_probe


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


@pytest.mark.filterwarnings("error")
def test_a_label_that_is_predicted_where_none_has_it_is_no_warning(split):
    train = labelled(split[0])
    tested = train.filter(lambda row: row["voices"] > 4)
    probe = label_probe(Constant(), train, tested, "instrumentation", 10)
    assert probe.balanced_accuracy in (0, 1)


def test_what_cannot_be_probed_is_said_first(run, split, corpus):
    with pytest.raises(UserError, match="column composer has 1 labels to fit and 1 to test"):
        check_labels(*split, ["composer"])
    with pytest.raises(UserError, match="has no validation pieces"):
        check_labels(split[0], split[1].select([]), [])
    check_labels(labelled(split[0]), labelled(split[0]), ["instrumentation"])
    here = f"corpus.prepared={corpus}"
    with pytest.raises(SystemExit, match="columns has colour, which the corpus has not"):
        run("probe", here, "columns=colour")
    with pytest.raises(SystemExit, match="no music encoder at runs/default/m3/model"):
        run("probe", here, "columns=[]")
    with pytest.raises(SystemExit, match="no prepared corpus at nowhere"):
        run("probe", "corpus.prepared=nowhere")


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
