"""Machine code kept on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import notagen

numba = pytest.importorskip("numba")

from notagen.model.decoding.machine_code import compiled  # noqa: E402, needs numba


def twice(number):
    return 2 * number


def found_on_disk() -> bool:
    """Call a function that this process has not compiled yet; whether its code was on disk."""
    dispatcher = compiled()(twice)
    assert dispatcher(3) == 6
    return sum(dispatcher.stats.cache_hits.values()) == 1


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_damaged_files_are_written_anew(folder):
    assert not found_on_disk()
    [file] = folder.rglob("*.nb?")
    whole = file.read_bytes()
    assert found_on_disk()
    middle = len(whole) // 2
    for damaged in (b"", whole[:middle], b"x" * 99, whole[:middle] + b"x" + whole[middle + 1 :]):
        file.write_bytes(damaged)
        assert not found_on_disk()
        assert found_on_disk()


def test_a_folder_that_vanishes_is_done_without(folder):
    dispatcher = compiled()(twice)
    for path in folder.iterdir():
        path.rmdir()
    assert dispatcher(3) == 6


def test_without_a_folder_to_write_every_process_compiles(folder, monkeypatch):
    """Places that take no folder, not even from root, as in a read-only image."""
    (folder / "file").touch()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder / "file"))
    locators = "UserProvidedCacheLocator"  # and none beside the sources or at home
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", locators)
    assert not found_on_disk()
    assert not found_on_disk()


def printed(program: str, **variables: str) -> str:
    source = str(Path(notagen.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": source} | variables
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.mark.slow
def test_every_processor_has_a_file_of_its_own(tmp_path):
    program = """
import numpy as np
from notagen.generation.sampling_numba import sample_rows
sample_rows(np.eye(128, dtype=np.float32)[:3] * 9, np.zeros(3), 9, 0.9, (1.0, 1.0))
print(sum(sample_rows.stats.cache_hits.values()))
"""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert printed(program, **cache) == "0"
    assert printed(program, **cache, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == "0"
    assert len([*tmp_path.rglob("*.nbc")]) == 2
    assert printed(program, **cache) == "1"


def test_numba_may_be_disabled():
    program = """
from notagen.generation import generate
from notagen.model import ModelConfig, NotaGen
model = NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0))
[piece] = generate(model, [""], max_patches=4)
print(piece.finish_reason.value)
"""
    assert printed(program, NUMBA_DISABLE_JIT="1") == "too long"
