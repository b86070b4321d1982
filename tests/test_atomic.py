import pytest

from notagen.atomic import locked, open_lines, replacing, whole_lines
from notagen.errors import UserError


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "figures.json"
    for text in ("first", "second"):
        with replacing(path, sync=True) as unfinished:
            unfinished.write_text(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_is_replaced_with_all_that_is_in_it(tmp_path):
    path = tmp_path / "model"
    for name in ("first", "second"):
        with replacing(path) as unfinished:
            unfinished.mkdir()
            (unfinished / name).touch()
    assert [file.name for file in path.iterdir()] == ["second"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text("first")
    with pytest.raises(TypeError), replacing(path) as unfinished:
        unfinished.write_text("half") + "not a number"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".model.unfinished").mkdir()
    (tmp_path / ".model.unfinished" / "half").touch()
    with replacing(tmp_path / "model") as unfinished:
        unfinished.mkdir()
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"one\ntwo\n", b"one\ntwo\nthr", b"half"])
def test_an_unfinished_line_is_cut_off(tmp_path, content):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    whole = content[: content.rfind(b"\n") + 1]
    assert b"".join(whole_lines(path)) == whole
    with open_lines(path) as file:
        file.write(b"new\n")
    assert path.read_bytes() == whole + b"new\n"


def test_one_holder_at_a_time_may_write(tmp_path):
    with locked(tmp_path / "run"):
        with pytest.raises(UserError, match="another process"), locked(tmp_path / "run"):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "run"):
        pass
