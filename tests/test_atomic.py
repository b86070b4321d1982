import os
import shutil
from contextlib import suppress

import pytest
from safetensors.torch import save_file
from torch import zeros

from notagen.atomic import locked, open_lines, replacing, restore, whole_lines
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


@pytest.fixture
def umask():
    """Sets the umask; the one before comes back."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize(
    ("mask", "file", "folder"),
    [(0o022, 0o644, 0o755), (0o027, 0o640, 0o750), (0o077, 0o600, 0o700)],
)
def test_files_and_folders_have_the_permissions_of_the_umask(tmp_path, umask, mask, file, folder):
    umask(mask)
    with replacing(tmp_path / "model") as unfinished:
        unfinished.mkdir(mode=0o700)
        save_file({"weight": zeros(1)}, unfinished / "model.safetensors")
        (unfinished / "config.json").touch()
        (unfinished / "link").symlink_to("nowhere")
    with replacing(tmp_path / "features.safetensors") as unfinished:
        save_file({"weight": zeros(1)}, unfinished)
    files = ("model/model.safetensors", "model/config.json", "features.safetensors")
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in files} == {file}
    assert (tmp_path / "model").stat().st_mode & 0o777 == folder


def test_a_link_to_a_folder_is_replaced_and_the_folder_is_not(tmp_path):
    write(tmp_path / "elsewhere", "old")
    (tmp_path / "model").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "model", "new")
    assert held(tmp_path / "model") == "new"
    assert held(tmp_path / "elsewhere") == "old"


def test_a_file_and_a_folder_replace_each_other(tmp_path):
    write(tmp_path / "model", "old")
    with replacing(tmp_path / "model") as unfinished:
        unfinished.touch()
    assert (tmp_path / "model").is_file()
    write(tmp_path / "model", "new")
    assert held(tmp_path / "model") == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]


class Killed(BaseException):
    """The end of a process: nothing changes a file after it."""


CHANGES = ("mkdir", "rename", "replace", "rmdir", "unlink", "chmod", "open")


def write(folder, name):
    """Replace a folder by one of two files and a folder, all of which hold a name."""
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        (unfinished / "inner").mkdir()
        for file in (unfinished / "file", unfinished / "inner" / "file"):
            file.write_text(name)
            file.chmod(0o600)


def held(folder):
    """The name in a folder that is there whole."""
    [name] = {(folder / file).read_text() for file in ("file", "inner/file")}
    return name


def stop_at(patch, number, error, *, once):
    """Let the ``number``-th call that changes a file raise; unless ``once``, those after it, too.

    Returns:
        The calls so far.
    """
    calls = []

    def stopping(name, call):
        def stopped(*arguments, **options):
            if name == "open" and not arguments[1] & (os.O_CREAT | os.O_WRONLY):
                return call(*arguments, **options)
            calls.append(name)
            if len(calls) == number or (len(calls) > number and not once):
                raise error
            return call(*arguments, **options)

        return stopped

    for name in CHANGES:
        patch.setattr(os, name, stopping(name, getattr(os, name)))
    return calls


@pytest.fixture(scope="module")
def changes(tmp_path_factory):
    """How many calls that change a file the replacement of a folder takes."""
    folder = tmp_path_factory.mktemp("counted") / "corpus"
    write(folder, "old")
    with pytest.MonkeyPatch.context() as patch:
        calls = stop_at(patch, 0, Killed(), once=True)
        write(folder, "new")
    assert len(calls) > 10
    return len(calls)


@pytest.mark.parametrize("once", [True, False], ids=["error", "kill"])
def test_stopped_at_any_point_a_folder_is_the_old_one_or_the_new_one(tmp_path, changes, once):
    outcomes = []
    for number in range(1, changes + 1):
        folder = tmp_path / str(number) / "corpus"
        write(folder, "old")
        error = OSError(5, "Input/output error") if once else Killed()
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, number, error, once=once)
            with suppress(type(error)):  # `mkdir(exist_ok=True)` takes no notice of one
                write(folder, "new")
        if not once:
            restore(folder)
        outcomes.append(held(folder))
        write(folder, "newest")
        assert held(folder) == "newest"
        assert list(folder.parent.iterdir()) == [folder.parent / "corpus"]
    assert set(outcomes) == {"old", "new"}


def test_what_was_moved_aside_is_put_back_or_removed(tmp_path):
    write(tmp_path / "corpus", "old")
    (tmp_path / "corpus").rename(tmp_path / ".corpus.former")
    restore(tmp_path / "corpus")
    assert held(tmp_path / "corpus") == "old"
    shutil.copytree(tmp_path / "corpus", tmp_path / ".corpus.former")
    restore(tmp_path / "corpus")
    assert list(tmp_path.iterdir()) == [tmp_path / "corpus"]


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
