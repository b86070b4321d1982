import json
import shutil
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from notagen.data import storage
from notagen.errors import UserError

ARROW = "train/data-00000-of-00001.arrow"


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def overwritten_from(start, byte):
    def spoil(path):
        content = path.read_bytes()
        path.write_bytes(content[:start] + byte * (len(content) - start))

    return spoil


DAMAGES = {
    "cut": (ARROW, cut),
    "empty": (ARROW, lambda path: path.write_bytes(b"")),
    "missing": (ARROW, Path.unlink),
    "garbage": (ARROW, lambda path: path.write_bytes(b"garbage!" * 1000)),
    "zeros": (ARROW, overwritten_from(0, b"\0")),
    "ones within": (ARROW, overwritten_from(2000, b"\xff")),
    "state": ("train/state.json", lambda path: path.write_text("[]")),
    "no state": ("train/state.json", Path.unlink),
    "description": ("train/dataset_info.json", lambda path: path.write_text("")),
    "splits": ("dataset_dict.json", lambda path: path.write_text("{}")),
    "no splits": ("dataset_dict.json", lambda path: path.write_bytes(b"")),
    "a split too many": (
        "dataset_dict.json",
        lambda path: path.write_text('{"splits": ["train", "lost"]}'),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_corpus_is_one_sentence(corpus, tmp_path, damage):
    shutil.copytree(corpus, tmp_path / "damaged")
    name, spoil = DAMAGES[damage]
    spoil(tmp_path / "damaged" / name)
    with pytest.raises(UserError, match=r"^the corpus at \S*damaged is damaged \([^\n]{1,130}\); "):
        storage.read(tmp_path / "damaged", "train")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda row: {"label": 1}, "it has no column piece, text, period.*prepare did not write"),
        (lambda row: {k: v for k, v in row.items() if k != "key"}, "it has no column key,"),
        (lambda row: row | {"bars": "many"}, "column bars is string, not int64"),
        (lambda row: row | {"composer": None if row["bars"] > 40 else "x"}, "composer has gaps"),
        (
            lambda row: row | {"text": "a" if row["bars"] > 40 else row["text"]},
            "the text of piece .* is no ABC",
        ),
    ],
)
def test_another_dataset_is_one_sentence(rows, tmp_path, change, wrong):
    other = DatasetDict({"train": Dataset.from_list([change(dict(row)) for row in rows])})
    other.save_to_disk(str(tmp_path / "other"))
    with pytest.raises(UserError, match=f"the train split of .*other is no music.*{wrong}"):
        storage.read(tmp_path / "other", "train")


def test_zeros_in_place_of_music_are_told(corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "damaged")
    overwritten_from(2000, b"\0")(tmp_path / "damaged" / ARROW)
    with pytest.raises(UserError, match=r"the train split of .* is no music to train on: "):
        storage.read(tmp_path / "damaged", "train")


def test_every_command_that_reads_a_corpus_says_so(run, corpus, tmp_path):
    shutil.copytree(corpus, "datasets/mine")
    cut(Path("datasets/mine", ARROW))
    cut(Path("datasets/mine/validation/data-00000-of-00001.arrow"))
    encoder = Path(__file__).parents[1] / "golden" / "tiny_clamp2.pth"
    for name, *more in (
        ["train", "model=nano", "stage.data.workers=0"],
        ["select", f"encoder={encoder}", "like='bars > 1'", "out=new"],
        ["probe", "reward=clamp2", f"reward.name={encoder}"],
    ):
        with pytest.raises(SystemExit, match=r"^notagen: the corpus at \S+ is damaged"):
            run(name, "corpus.prepared=datasets/mine", *more)


def test_a_folder_that_is_no_corpus_is_told_from_none(corpus, tmp_path):
    runs = tmp_path / "runs"
    with pytest.raises(UserError, match=r"there is no prepared corpus at .*runs; make one with"):
        storage.read(runs, "train")
    runs.mkdir()
    with pytest.raises(UserError, match=r"runs is no prepared corpus; .*prepare writes such"):
        storage.read(runs, "train")
    with pytest.raises(UserError, match=rf"those below it are {corpus}"):
        storage.read(corpus.parent, "train")


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("composer", "which is not true or false for each; compare a column"),
        ("bars + 1", "which is not true or false for each"),
        ("1 == 1", "which is not true or false for each"),
        ("bars = 8", "cannot choose pieces by 'bars = 8'"),
        ("colour == 'red'", "name 'colour' is not defined; columns are piece, period"),
        ("bars >", "cannot choose pieces by 'bars >'"),
        ("text == ''", "name 'text' is not defined"),
    ],
)
def test_a_choice_that_is_none_is_one_short_sentence(corpus, expression, wrong):
    with pytest.raises(UserError, match=wrong) as refusal:
        storage.read(corpus, "train", expression)
    assert len(str(refusal.value)) < 400
    assert "\n" not in str(refusal.value)


def test_pieces_are_chosen_by_comparisons(corpus, rows):
    chosen = storage.read(corpus, "train", "bars > 40 and composer == 'Haydn, Joseph'")
    assert chosen["piece"][:] == [row["piece"] for row in rows[:6] if row["bars"] > 40]


def test_a_corpus_that_was_moved_aside_is_read(rows, tmp_path):
    card = {"pieces": {}, "made_with": {}}
    storage.write(tmp_path / "corpus", {"train": rows[:3]}, [], card)
    (tmp_path / "corpus").rename(tmp_path / ".corpus.former")
    assert len(storage.read(tmp_path / "corpus", "train")) == 3
    storage.write(tmp_path / "corpus", {"train": rows[:2]}, [], card)
    assert len(storage.read(tmp_path / "corpus", "train")) == 2
    assert json.loads((tmp_path / "corpus/card.json").read_text()) == card
