"""Files of an iteration that a fault has damaged: made again, or named in one sentence."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from notagen.dpo.tables import kept, read_facts, read_object, read_rows, write_rows, write_text
from notagen.errors import UserError
from notagen.model.weights import load
from notagen.reward import EncoderConfig, Features, MusicEncoder
from tests.helpers.iterations import GIVEN, give_samples, overrides, random_start

DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: np.random.default_rng(0).bytes(len(content)),
}
MADE_AGAIN = ("scores.parquet", "similarity.parquet", "preferences.parquet", "reference.parquet")


def damage(path: Path, kind: str) -> None:
    path.write_bytes(DAMAGE[kind](path.read_bytes()))


@pytest.fixture(params=DAMAGE)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damage")
    random_start(folder)
    return folder


@pytest.fixture
def whole(run, folder, corpus, rows):
    """A finished iteration, made once."""
    out = folder / "runs/one/dpo-1"
    if not out.exists():
        give_samples(rows, out)
        run("train", *overrides(folder, corpus, "one"))
    return out


@pytest.fixture
def again(run, whole, folder, corpus):
    """A copy of it, and the command that made it."""
    copy = folder / "runs/copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole.parent, copy)
    start = f"init_from={folder}/runs/one/finetune/model"
    return copy / "dpo-1", lambda *more: run(
        "train", *overrides(folder, corpus, "copy", start, *more)
    )


def test_what_can_be_made_again_is(again, whole, kind, capfd):
    out, same_command = again
    for name in MADE_AGAIN:
        damage(out / name, kind)
    features = list((out.parent / "features").rglob("*.safetensors"))
    for path in (*features, out / "report.json"):
        damage(path, kind)
    journal = out / "samples/rank-0.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[GIVEN] = DAMAGE[kind](lines[GIVEN][:-1]).replace(b"\n", b"") + b"\n"  # its own, not given
    journal.write_bytes(b"".join(lines))
    same_command()
    assert "dpo-1 is complete" in capfd.readouterr().out, "nothing of it is needed any more"
    shutil.rmtree(out / "model")
    shutil.rmtree(out / "checkpoints")
    same_command()
    printed = capfd.readouterr().out.replace("\n", "")
    for name in ("preferences.parquet", "scores.parquet", "report.json"):
        assert f"{name} is missing or damaged" in printed, name
    assert "1 damaged pieces" in printed
    for path in features:
        assert f"{path} is damaged or of another encoder".replace("\n", "") in printed
        assert not path.exists()
    for name in MADE_AGAIN:
        assert pq.read_table(out / name).equals(pq.read_table(whole / name)), name
    expected, found = (load(str(path / "model")).state_dict() for path in (whole, out))
    for name, weight in expected.items():
        assert torch.equal(weight, found[name]), name


def test_settings_are_named(again, kind):
    out, same_command = again
    damage(out / "settings.json", kind)
    shutil.rmtree(out / "model")
    with pytest.raises(
        SystemExit, match=r"settings.json is missing or damaged .*; remove it if no"
    ):
        same_command()


@pytest.mark.parametrize("name", ["preferences.parquet", "reference.parquet"])
def test_what_training_began_with_is_not_made_again(again, kind, name):
    """The resumed policy is no longer the reference: its pieces and likelihoods are others."""
    out, same_command = again
    damage(out / name, kind)
    shutil.rmtree(out / "model")
    said = rf"{name} is missing or damaged .*; remove .*checkpoints to train from the beginning"
    with pytest.raises(SystemExit, match=said):
        same_command("stage.max_steps=6")


def test_the_figures_of_an_earlier_iteration_are_named(again, run, folder, corpus, kind):
    out, _ = again
    damage(out / "report.json", kind)
    keys = overrides(folder, corpus, "copy", "iteration=2")
    with pytest.raises(SystemExit, match=r"dpo-1/report.json is missing or damaged .*; remove it"):
        run("train", *keys)
    assert not (out.parent / "dpo-2/samples").exists(), "said before sampling"


def test_rows_are_checked_when_they_are_read(tmp_path, kind, capfd):
    rows, path = [{"number": 1, "score": 0.5}] * 50, tmp_path / "rows.parquet"
    write_rows(rows, path, {"origin": "here"})
    assert read_rows(path, ("number",)) == rows
    assert read_facts(path) == {"origin": "here"}
    with pytest.raises(UserError, match="no judge"):
        read_rows(path, ("number", "judge"))
    damage(path, kind)
    for read in (lambda: read_rows(path, ("number",)), lambda: read_facts(path)):
        assert kept(path, read) is None
        assert "it is made again" in capfd.readouterr().out
    assert kept(tmp_path / "nothing", lambda: 1) is None


def test_one_bit_is_found(tmp_path):
    path = tmp_path / "rows.parquet"
    write_rows([{"number": 12345, "text": "CDEF"}], path)
    content = bytearray(path.read_bytes())
    content[content.index(b"CDEF")] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        read_rows(path, ("number",))


def test_objects_are_checked_when_they_are_read(tmp_path, kind):
    path = tmp_path / "object.json"
    write_text('{"a": 1, "b": [1, 2, 3]}', path)
    assert read_object(path, ("a",))["b"] == [1, 2, 3]
    with pytest.raises(UserError, match="no c"):
        read_object(path, ("c",))
    damage(path, kind)
    with pytest.raises(UserError, match="damaged"):
        read_object(path, ())
    write_text("[1]", path)
    with pytest.raises(UserError, match="no JSON object"):
        read_object(path, ())


def test_features_of_another_encoder_are_not_taken(tmp_path, rows):
    texts = [row["text"] for row in rows[:2]]
    one, other = (MusicEncoder(EncoderConfig(1, 64, size, 64)).eval() for size in (8, 16))
    Features(other, tmp_path).encode(texts)
    [file] = tmp_path.rglob("*.safetensors")
    own = tmp_path / one.fingerprint()[:16]
    own.mkdir()
    shutil.copy(file, own)
    features = Features(one, tmp_path).encode(texts)
    assert torch.equal(features, one.encode(texts))
    assert len(list(own.iterdir())) == 1, "that file is gone, and one of its own is there"
