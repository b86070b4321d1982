"""Commands end with one sentence, whatever a user, a disk or a signal does."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from notagen.errors import Stopped, UserError
from notagen.exits import explained, sentence
from notagen.model import ModelConfig, NotaGen

LIGHT = ("generate", "evaluate", "export", "prepare", "train", "select", "probe")


def start(*words: str, folder: Path, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # type: ignore[call-overload] # fmt: skip


@pytest.fixture
def weights(tmp_path) -> Path:
    torch.manual_seed(0)
    NotaGen(ModelConfig(1, 1, 64, patch_length=64, dropout=0.0)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "cannot write a/b: No space"),
        (OSError(errno.ENOSPC, "No space left on device"), "cannot write: No space"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "cannot read or write x: Perm"),
        (OSError(errno.EIO, "Input/output error"), "cannot read or write: Input/output"),
        (MemoryError(), "there is not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 1"), "there is not enough mem"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . x"), "cannot write a file of"),
        (ModuleNotFoundError("No module named 'lameenc'", name="lameenc"), "lameenc is not inst"),
        (FloatingPointError("the loss is nan at step 3"), "the loss is nan at step 3; lower"),
        (UserError("do that"), "do that"),
    ],
)
def test_what_a_machine_does_is_told_in_a_sentence(error, told):
    assert str(sentence(error)).startswith(told)
    with pytest.raises(SystemExit, match=f"^notagen: {told.split('[')[0][:12]}"), explained():
        raise error


def test_a_cause_is_told_and_a_fault_of_the_program_keeps_its_traceback():
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = OSError(errno.EROFS, "Read-only file system", "x")
    assert sentence(wrapped) == "cannot write x: Read-only file system"
    with pytest.raises(KeyError), explained():
        raise KeyError("a bug")
    with pytest.raises(FileNotFoundError), explained():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "ours")


def test_a_signal_has_its_exit_code(capsys):
    for interrupt, code in ((KeyboardInterrupt(), 130), (Stopped("resume", 15), 143)):
        with pytest.raises(SystemExit) as ended, explained():
            raise interrupt
        assert ended.value.code == code
    assert capsys.readouterr().err == "notagen: stopped\nnotagen: resume\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.15, 0.4, 1.0, 2.0])
def test_a_signal_at_any_moment_ends_a_command_with_one_line(number, after, weights):
    """While it imports, composes, loads weights or writes."""
    words = ("notagen.generate", f"weights={weights}", "n=500", "max_patches=64")
    process = start(*words, folder=weights.parent)
    time.sleep(after)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    # Before the first line of ours runs, the interpreter is ended by the signal itself.
    assert process.returncode in (128 + number, -number)
    if process.returncode > 0:
        assert told.startswith("notagen: stopped")  # with what was kept, once it writes pieces
        assert told.count("\n") == 1


def test_nobody_reads_the_help(tmp_path):
    for words in (("notagen.generate", "--help"), ("notagen", "--help")):
        process = start(*words, folder=tmp_path)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) in (0, 128 + signal.SIGPIPE)
        assert process.stderr is not None
        assert process.stderr.read() == ""
        process.stderr.close()


def test_a_full_disk_is_told_and_leaves_nothing_half_written(weights, corpus):
    """Files may have 100 bytes, which a write notices as it does a full disk."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    for words in (
        ("notagen.export", f"weights={weights}", "out=out.pth"),
        ("notagen.export", f"weights={weights}", "out=out"),
        ("notagen.generate", f"weights={weights}", "out=out", "max_patches=40", "formats=abc"),
        ("notagen.train", f"corpus.prepared={corpus}", "model=nano", "out=out"),
    ):
        process = start(*words, folder=weights.parent, preexec_fn=limited)
        _, told = process.communicate(timeout=120)
        assert process.returncode == 1, told
        last = told.splitlines()[-1]
        assert last.startswith("notagen: cannot "), told
        assert "Traceback" not in told
        out = weights.parent / "out"
        left = [*weights.parent.glob("out*/**/*"), *weights.parent.glob(".*")] if out else []
        assert not [path for path in left if path.is_file() and path.suffix != ".lock"], words


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(weights):
    (weights.parent / "closed").mkdir(mode=0o500)
    process = start("notagen.export", f"weights={weights}", "out=closed/x", folder=weights.parent)
    _, told = process.communicate(timeout=60)
    assert told.startswith("notagen: cannot read or write")


def test_a_name_of_300_letters(run, weights):
    with pytest.raises(SystemExit, match="File name too long"):
        run("generate", f"weights={weights}", f"out={'x' * 300}", "max_patches=8", "formats=abc")


def test_a_terminal_that_knows_ascii_alone_and_no_docstrings(weights):
    words = (
        "notagen.generate",
        f"weights={weights}",
        "max_patches=8",
        "formats=abc",
        "form.voices=[Fl]",
    )
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONOPTIMIZE": "2", "PYTHONUTF8": "0", "LC_ALL": "C"}
    process = start(*words, folder=weights.parent, env=os.environ | plain)
    printed, told = process.communicate(timeout=120)
    assert told.splitlines()[-1].startswith("notagen: none of the pieces is complete"), told
    assert "1 piece in" in printed


def test_the_command_lists_the_commands_and_runs_them(tmp_path):
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "notagen", *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    listed = run().stdout
    assert all(f"\n  {name} " in listed for name in LIGHT)
    assert run("--version").stdout == run("train", "--version").stdout
    assert run("export", "--help").stdout.startswith("python -m notagen.export ")
    assert "there is no command paint; choose from prepare" in run("paint").stderr
    wrong = run("train", "stage.max_steps=two")
    assert wrong.returncode == 1
    assert wrong.stderr == ("notagen: stage.max_steps must be a whole number from 1 on, not two\n")


def test_commands_list_all_there_are():
    from notagen.__main__ import COMMANDS
    from notagen.keys import KEYS

    assert COMMANDS.keys() == KEYS.keys()


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["generate", "weights=nowhere"], "lightning music21 datasets torchmetrics verovio sympy"),
        (["evaluate", "weights=nowhere"], "lightning music21 torchmetrics matplotlib verovio"),
        (["export", "weights=nowhere", "out=x"], "lightning music21 datasets torchmetrics sympy"),
        (["export", "--help"], "torch numpy lightning"),
    ],
)
def test_a_command_imports_no_library_before_it_needs_it(words, unwanted, tmp_path):
    code = f"""import sys; sys.argv = {["notagen", *words]}
import notagen.{words[0]} as command
try: command.main()
except SystemExit as ended: print(ended)
print(sorted(set({unwanted.split()}) & set(sys.modules)))"""
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines()[-1] == "[]"
