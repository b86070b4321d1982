import pytest

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


def spoilt(line: bytes) -> list[bytes]:
    """What a fault may make of a line."""
    return [
        b"garbage\n",
        b"\0" * len(line),  # and so no line end either
        b"\n",
        line[: len(line) // 2] + b"\n",
        line.replace(b"rejected", b"resected"),
        line[9:],
        b"[]\n",
        b"\xff\xfe\n",
    ]


@pytest.mark.parametrize("kind", range(len(spoilt(b""))))
@pytest.mark.parametrize("number", range(3))
def test_spoilt_lines_are_skipped_and_the_others_kept(tmp_path, kind, number):
    path = tmp_path / "read.jsonl"
    with Journal(path) as journal:
        for name in "abc":
            journal.add(name, outcome(name))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = spoilt(lines[number])[kind]
    path.write_bytes(b"".join(lines))
    for _ in range(2):
        with Journal(path) as journal:
            kept = [name for name in "abc" if name in journal]
            assert set("abc") - set(kept) <= set("abc"[number : number + 2])
            for name in kept:
                assert journal[name]["rejected"] == outcome(name)["rejected"]
            journal.add("d", outcome("d"))
    with Journal(path) as journal:
        assert journal["d"]["rejected"] == outcome("d")["rejected"]


@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"garbage", b"\n" * 9])
def test_a_journal_of_nothing_is_an_empty_one(tmp_path, content):
    (tmp_path / "read.jsonl").write_bytes(content)
    with Journal(tmp_path / "read.jsonl") as journal:
        assert "a" not in journal
        journal.add("a", outcome("a"))
        assert journal["a"]["rejected"] == outcome("a")["rejected"]


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
