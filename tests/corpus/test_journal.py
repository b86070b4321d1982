from notagen.corpus.journal import Journal, key
from notagen.corpus.reader import Reader, failed
from notagen.corpus.sources import Source, folder
from notagen.corpus.workers import Limits
from notagen.prompts import Prompt
from tests.helpers.melodies import write_melodies


def outcome(name):
    return failed(Source(name, name, None), f"unreadable: {name}")


def test_outcomes_are_kept_and_an_unfinished_line_is_not(tmp_path):
    path = tmp_path / "new" / "read.jsonl"
    with Journal(path) as journal:
        journal.add("a", outcome("a\nb"))
        journal.add("b", outcome("\udcff"))
    with path.open("ab") as file:
        file.write(b'{"key": "c", "pieces": [')
    with Journal(path) as journal:
        assert "a" in journal
        assert "c" not in journal
        journal.add("c", outcome("c"))
    with Journal(path) as journal:
        assert [journal[k]["rejected"] for k in "cab"] == [
            outcome(name)["rejected"] for name in ("c", "a\nb", "\udcff")
        ]
        journal.remove()
    assert not path.exists()


def test_the_key_changes_with_file_labels_reader_and_limits(tmp_path):
    write_melodies(tmp_path, range(1))
    [source] = folder(str(tmp_path))
    missing = Source("x", tmp_path / "missing.abc", None)
    labelled = Source(source.piece, source.path, Prompt("Modern", "", ""))
    reader = Reader(1000)
    limits = Limits()
    keys = [key(s, reader, limits) for s in (source, missing, labelled)]
    keys += [key(source, Reader(2000), limits), key(source, reader, Limits(seconds=1))]
    assert keys[0] == key(source, reader, limits)
    source.path.write_text("X:1\n")
    assert len({*keys, key(source, reader, limits)}) == 6
