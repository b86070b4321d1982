import lightning as L
import pytest

from notagen.data import storage
from notagen.errors import UserError
from notagen.stages.finetune import FinetuneData
from notagen.stages.pretrain import PretrainData


def data_of(corpus, kind=PretrainData, **more) -> PretrainData:
    data = kind(str(corpus), 128, 2, "original", 0, 7, **more)
    data.trainer = L.Trainer(accelerator="cpu", devices=1, logger=False, barebones=True)
    return data


@pytest.fixture
def opened(monkeypatch):
    """The splits that are read, in order."""
    splits = []
    read = storage.read

    def noting(path, split, where=None):
        splits.append(split)
        return read(path, split, where)

    monkeypatch.setattr(storage, "read", noting)
    return splits


@pytest.fixture
def with_test(rows, tmp_path):
    path = tmp_path / "three"
    splits = {"train": rows[:4], "validation": rows[4:6], "test": rows[6:9]}
    storage.write(path, splits, [], {})
    return path


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("fit", ["train", "validation"]),
        ("validate", ["validation"]),
        ("predict", ["validation"]),
        ("test", ["test"]),
    ],
)
def test_a_stage_opens_the_splits_it_needs_once(with_test, opened, stage, expected):
    data = data_of(with_test, FinetuneData, where="bars > 1", batch_patches=400)
    data.setup(stage)
    loaders = {
        "fit": [data.train_dataloader, data.val_dataloader],
        "validate": [data.val_dataloader],
        "predict": [data.predict_dataloader],
        "test": [data.test_dataloader],
    }
    for loader in loaders[stage]:
        loader()
    if stage == "fit":
        assert len(data.prompts) == 4
    assert opened == expected


def test_a_corpus_without_a_test_split_is_refused(corpus):
    with pytest.raises(UserError, match="has no test split"):
        data_of(corpus).setup("test")


def test_validation_batches_name_collections_and_training_batches_do_not(rows, tmp_path):
    held_out = [
        row | {"piece": name} for row, name in zip(rows[6:9], ("a/1", "b/1", "c"), strict=True)
    ]
    storage.write(tmp_path / "named", {"train": rows[:6], "validation": held_out}, [], {})
    data = data_of(tmp_path / "named")
    data.setup("fit")
    batches = list(data.val_dataloader())
    assert [list(batch.collections) for batch in batches] == [["a", "b", ""]]
    assert all(not batch.collections for batch in data.train_dataloader())
