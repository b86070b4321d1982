import shutil
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict

from notagen.atomic import locked
from notagen.data import storage
from tests.helpers.melodies import write_melodies


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of the same name and the same file names, the first one prepared."""
    place = tmp_path_factory.mktemp("scores")
    write_melodies(place / "one/mine", range(3))
    write_melodies(place / "two/mine", range(3, 6))
    (place / "labels.csv").write_text("file,composer\n000.abc,Bach\n")
    return place


@pytest.fixture
def prepare(run, folders, tmp_path):
    def prepare(*overrides, path="one/mine"):
        run("prepare", "corpus=folder", f"corpus.path={folders / path}", "processes=1", *overrides)

    if not (folders / "datasets").exists():
        prepare()
        shutil.copytree("datasets", folders / "datasets")
    else:
        shutil.copytree(folders / "datasets", "datasets")
    return prepare


def files(folder=Path("datasets/mine")):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_corpus_is_named_after_its_folder_and_made_once(prepare, capfd):
    before = files()
    assert sorted(path.name for path in Path("datasets").glob("[!.]*")) == ["mine"]
    capfd.readouterr()
    prepare(path="two/../one/mine/")
    printed = capfd.readouterr().out
    assert printed == "datasets/mine is already prepared; overwrite=true makes it anew\n"
    assert files() == before


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["rules.min_bars=4"], "rules.min_bars was 8 and is now 4;"),
        (["rules.similarity=0.5", "rules.validation_fraction=0.5"], "rules.similarity was 0.6"),
        (["limits.seconds=9"], "limits.seconds was 300 and is now 9"),
        (["limits.file_mb=1"], r"limits.file_mb was 50\.0 and is now 1\.0"),
        (["limit=2"], "files was 3 and is now 2"),
        (["corpus.labels=labels.csv"], "labels have changed since"),
    ],
)
def test_a_corpus_is_not_taken_for_one_of_other_rules(prepare, folders, overrides, difference):
    before = files()
    shutil.copy(folders / "labels.csv", ".")
    with pytest.raises(SystemExit, match=f"^notagen: .*mine holds another corpus: .*{difference}"):
        prepare(*overrides)
    assert files() == before


def test_a_corpus_is_not_taken_for_one_of_other_scores(prepare, folders):
    wrong = "path was .*one/mine and is now .*two/mine; give another folder as out=, or overwrite"
    with pytest.raises(SystemExit, match=wrong):
        prepare(path="two/mine")
    prepare("overwrite=true", path="two/mine")
    prepare(path="two/mine")
    grown = Path("scores/one/mine")
    shutil.copytree(folders / "one/mine", grown)
    prepare("overwrite=true", path=grown.absolute())
    (grown / "002.abc").write_text((grown / "002.abc").read_text() + "w:la\n")
    with pytest.raises(SystemExit, match="scores were added, removed, renamed or changed since"):
        prepare(path=grown.absolute())
    (grown / "sketch.pdf").touch()
    (grown / "002.abc").unlink()
    with pytest.raises(SystemExit, match="files was 3 and is now 2"):
        prepare(path=grown.absolute())


@pytest.mark.parametrize(
    ("path", "wrong"),
    [("nowhere", "there is no folder"), ("labels.csv", "is a file"), ("three/mine", "no score in")],
)
def test_scores_are_looked_for_first(prepare, folders, path, wrong):
    (folders / "three/mine").mkdir(parents=True, exist_ok=True)
    for more in ((), ("overwrite=true",)):
        with pytest.raises(SystemExit, match=wrong):
            prepare("out=datasets/mine", *more, path=path)


def test_a_corpus_of_an_earlier_version_may_be_replaced(prepare, rows):
    splits = {"train": rows[:2], "validation": rows[2:4]}
    storage.write(Path("old"), splits, [], {"pieces": {}, "made_with": {"min_bars": 8}})
    with pytest.raises(SystemExit, match="its data card does not say of which scores"):
        prepare("out=old")
    prepare("out=old", "overwrite=true")
    assert len(storage.read(Path("old"), "train")) == 2


def others() -> dict[str, object]:
    """Folders that this program did not write, by what they hold."""
    return {
        "a dataset": lambda out: DatasetDict({"train": Dataset.from_dict({"text": ["a"]})})
        .save_to_disk(str(out)),
        "another card": lambda out: (out / "card.json").write_text('{"pieces": 52}'),
        "no card": lambda out: (out / "card.json").write_bytes(b"\xff"),
        "a file": lambda out: (out / "thesis.txt").touch(),
    }  # fmt: skip


@pytest.mark.parametrize("kind", others())
@pytest.mark.parametrize("overwrite", ["false", "true"])
def test_what_another_program_wrote_is_never_replaced(prepare, kind, overwrite):
    out = Path("theirs")
    out.mkdir()
    others()[kind](out)
    before = files(out)
    with pytest.raises(SystemExit, match="theirs holds something else than a corpus"):
        prepare(f"out={out}", f"overwrite={overwrite}")
    assert files(out) == before


def test_a_corpus_with_files_of_others_in_it_is_not_replaced(prepare):
    Path("datasets/mine/part").mkdir()
    prepare()
    with pytest.raises(SystemExit, match="mine also holds part, which prepare did not write"):
        prepare("overwrite=true")


def test_a_damaged_corpus_is_not_called_prepared(prepare):
    next(Path("datasets/mine/train").glob("*.arrow")).write_bytes(b"")
    with pytest.raises(SystemExit, match=r"is damaged .* again with overwrite=true"):
        prepare()
    prepare("overwrite=true")
    assert len(storage.read(Path("datasets/mine"), "train")) == 2


def test_one_process_at_a_time_prepares_a_corpus(prepare):
    with (
        locked(Path("datasets/mine")),
        pytest.raises(SystemExit, match="another process is writing datasets/mine"),
    ):
        prepare("overwrite=true")


def test_what_a_killed_process_left_is_put_in_order(prepare, capfd):
    before = files()
    Path("datasets/mine").rename("datasets/.mine.former")
    prepare()
    assert "already prepared" in capfd.readouterr().out
    assert files() == before
    Path("datasets/.mine.read.jsonl").touch()
    prepare()
    assert sorted(path.name for path in Path("datasets").iterdir()) == [".mine.lock", "mine"]
