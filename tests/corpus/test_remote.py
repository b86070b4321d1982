import fsspec
import pytest

from notagen.corpus import remote
from notagen.corpus.build import prepare
from notagen.corpus.reader import Reader
from notagen.corpus.sources import folder
from notagen.data import storage
from tests.helpers.melodies import write_melodies


@pytest.fixture
def memory():
    """An object store: the whole of ``memory://``."""
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


@pytest.fixture
def scores(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_melodies(tmp_path / "scores", range(4))
    (tmp_path / "scores/broken.abc").write_text("")
    return tmp_path / "scores"


def test_a_corpus_in_another_place_is_that_of_a_folder(memory, scores, tmp_path):
    prepare(folder(str(scores)), tmp_path / "here/small")
    prepare(folder(str(scores)), "memory://bucket/small")
    assert remote.is_prepared("memory://bucket/small")
    memory.get("/bucket/small/", str(tmp_path / "fetched"), recursive=True)
    for name in ("card.json", "rejected.jsonl", "README.md", "card.png"):
        assert (tmp_path / "fetched" / name).read_bytes() == (
            tmp_path / "here/small" / name
        ).read_bytes()
    assert list(storage.read(tmp_path / "fetched", "train")) == list(
        storage.read(tmp_path / "here/small", "train")
    )
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_scores_in_another_place_are_those_of_a_folder(scores, tmp_path):
    prepare(folder(str(scores)), tmp_path / "path")
    prepare(folder(f"file://{scores}"), tmp_path / "url")
    rows = list(storage.read(tmp_path / "url", "train"))
    assert rows == list(storage.read(tmp_path / "path", "train"))
    [rejected] = (tmp_path / "url/rejected.jsonl").read_text().splitlines()
    assert f'"file": "file://{scores}/broken.abc"' in rejected
    assert '"reason": "refused: empty"' in rejected


def test_a_large_score_is_not_fetched(memory):
    memory.pipe_file("/scores/large.abc", bytes(2000))
    [source] = folder("memory://scores")
    assert source.piece == "large.abc"
    [rejected] = Reader(largest=1000)(source)["rejected"]
    assert rejected["reason"].startswith("refused: 2,000 bytes")


def test_only_a_corpus_is_overwritten_in_another_place(memory, scores):
    memory.pipe_file("/bucket/thesis/chapter.txt", b"years of work")
    with pytest.raises(ValueError, match="holds something else than a corpus"):
        prepare(folder(str(scores)), "memory://bucket/thesis")
    prepare(folder(str(scores)), "memory://bucket/small")
    memory.pipe_file("/bucket/small/old.arrow", b"")
    memory.rm("/bucket/small/dataset_dict.json")  # as if the copy had been cut off
    assert not remote.is_prepared("memory://bucket/small")
    prepare(folder(str(scores)), "memory://bucket/small")
    assert remote.is_prepared("memory://bucket/small")
    assert not memory.exists("/bucket/small/old.arrow")
    assert memory.cat_file("/bucket/thesis/chapter.txt") == b"years of work"


def test_unknown_addresses_are_refused(scores, run):
    with pytest.raises(SystemExit, match=r"notagen: cannot open nowhere://x: .*nowhere"):
        run("prepare", "corpus=folder", f"corpus.path={scores}", "out=nowhere://x")


def test_unknown_engines_are_refused(run):
    with pytest.raises(SystemExit, match="notagen: engine must be local or ray, not steam"):
        run("prepare", "engine=steam")
