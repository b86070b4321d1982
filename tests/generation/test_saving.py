import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from notagen.atomic import locked
from notagen.errors import Stopped, UserError
from notagen.exits import listen
from notagen.generation import Form, Sampling
from notagen.generation.saving import INDEX, first_to_open, next_number
from notagen.generation.to_folder import generate_to_folder
from tests.helpers.scripted import DUET


def generate(model, folder, bars=(1, 1), formats=("abc",), seed=0):
    prompts = [DUET.format(n) for n in bars]
    return generate_to_folder(model, prompts, folder, formats, Sampling(), seed, 2, 60, Form())


def index_of(folder: Path) -> list[str]:
    return [json.loads(line)["name"] for line in (folder / INDEX).read_text().splitlines()]


def test_the_first_page_of_the_first_score_is_opened_first(model, tmp_path):
    first, second = generate(model, tmp_path, formats=["abc", "svg"]).pieces
    assert first_to_open([first, second], tmp_path) == tmp_path / "piece-001-1.svg"
    unreadable = replace(first, bars=0)
    assert first_to_open([unreadable, second], tmp_path) == tmp_path / "piece-002-1.svg"
    (tmp_path / "piece-002-1.svg").unlink()
    assert first_to_open([unreadable, second], tmp_path) == tmp_path / "piece-002.abc"
    assert first_to_open([unreadable], tmp_path) is None


def test_the_index_grows_by_each_run_and_outlives_removed_pieces(model, tmp_path):
    generate(model, tmp_path, bars=(15, 1))
    assert index_of(tmp_path) == ["piece-002", "piece-001"], "in the order of their ends"
    (tmp_path / "piece-002.abc").unlink()
    (tmp_path / "piece-002.txt").unlink()
    generate(model, tmp_path, bars=(1,), seed=1)
    assert index_of(tmp_path) == ["piece-002", "piece-001", "piece-003"]


def test_one_run_at_a_time_writes_into_a_folder(model, tmp_path):
    with locked(tmp_path / INDEX), pytest.raises(UserError, match="another process is writing"):
        generate(model, tmp_path)
    assert next_number(tmp_path) == 1


@contextmanager
def another_process(work: Callable[[], None]) -> Iterator[int]:
    """A fork of this process, since starting one anew takes longer than all that is tested."""
    child = os.fork()
    if child == 0:
        sys.stdout = StringIO()
        try:
            work()
        finally:
            os._exit(0)
    yield child
    os.waitpid(child, 0)


def test_a_full_disk_leaves_whole_pieces_alone(model, tmp_path):
    """A limit on the size of a file stands for the end of the disk."""
    generate(model, tmp_path)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        try:
            generate(model, tmp_path, formats=["abc", "svg"])
        except OSError as error:
            (tmp_path / "error").write_text(str(error))

    with another_process(limited):
        pass
    assert "File too large" in (tmp_path / "error").read_text()
    assert index_of(tmp_path) == ["piece-001", "piece-002"]
    whole = {f"piece-00{n}.{end}" for n in (1, 2) for end in ("abc", "txt")}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == whole | {INDEX, f".{INDEX}.lock", "error"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_finished_when_stopped_is_in_the_index(model, number, tmp_path):
    pieces = tmp_path / "pieces"

    def work() -> None:
        listen()  # as commands do
        try:
            generate(model, pieces, bars=[1] * 5000)
        except Stopped as stopped:
            (tmp_path / "said").write_text(f"{stopped} {int(stopped.number)}")

    with another_process(work) as child:
        while not ((pieces / INDEX).is_file() and (pieces / INDEX).read_text().count("\n") > 3):
            time.sleep(0.01)
        os.kill(child, number)
    names = index_of(pieces)
    assert len(names) > 3
    assert all((pieces / f"{name}.abc").stat().st_size for name in names)
    if number != signal.SIGKILL:
        said = (
            f"stopped; {len(names)} of 5000 pieces are finished, in {pieces / INDEX} {int(number)}"
        )
        assert (tmp_path / "said").read_text() == said
