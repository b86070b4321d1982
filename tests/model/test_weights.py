import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from notagen.config import options
from notagen.errors import UserError
from notagen.model import ModelConfig, NotaGen, weights
from tests.helpers.hub_stub import hub

PUBLISHED = Path(__file__).parents[1] / "golden" / "tiny_notagen.pth"


def same(one: NotaGen, other: NotaGen) -> bool:
    states = other.state_dict()
    return all(torch.equal(weight, states[name]) for name, weight in one.state_dict().items())


@pytest.fixture
def published() -> NotaGen:
    return weights.load(str(PUBLISHED))


def test_a_folder_is_read_without_a_word(published, tmp_path, capfd):
    weights.save(published, tmp_path / "model")
    loaded = weights.load(str(tmp_path / "model"))
    assert same(loaded, published)
    assert not loaded.training
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "contents",
    [
        lambda states: {"model": states},
        lambda states: {"model": states, "epoch": 3, "best_epoch": 2, "min_eval_loss": 0.5},
        lambda states: states,
    ],
    ids=["without epoch", "with everything", "bare"],
)
def test_every_form_of_a_published_file_is_read(published, contents, tmp_path):
    states = torch.load(PUBLISHED, weights_only=True)["model"]
    torch.save(contents(states), tmp_path / "weights.pth")
    assert same(weights.load(str(tmp_path / "weights.pth")), published)


@pytest.mark.parametrize("kind", ["file.pth", "last.ckpt", "model"])
def test_a_truncated_file_is_refused(published, kind, tmp_path):
    path = tmp_path / kind
    if kind == "last.ckpt":
        states = {f"model.{name}": weight for name, weight in published.state_dict().items()}
        torch.save({"state_dict": states, "hyper_parameters": {"sizes": published.sizes}}, path)
        assert same(weights.load(str(path)), published)
    else:
        weights.save(published, path)
    file = path / "model.safetensors" if path.is_dir() else path
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(UserError, match=f"cannot load weights from .*{kind}"):
        weights.load(str(path))


@pytest.mark.parametrize("name", ["other.pth", "other.ckpt"])
@pytest.mark.parametrize("contents", ["X:1\n", {"epoch": 3}, {"model": [1]}, [1, 2]])
def test_a_foreign_file_is_refused(contents, name, tmp_path):
    path = tmp_path / name
    if isinstance(contents, str):
        path.write_text(contents)
    else:
        torch.save(contents, path)
    with pytest.raises(UserError, match=f"cannot load weights from .*{name}"):
        weights.load(str(path))


def test_a_folder_of_another_model_is_refused(published, tmp_path):
    weights.save(published, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"hidden_size": 768, "layers": 2}))
    with pytest.raises(UserError, match=r"cannot load weights from .*model"):
        weights.load(str(tmp_path / "model"))


@pytest.mark.parametrize(
    "config",
    ["", "[]", "null", "3", "{", "{}", '{"patch_layers": "3"}', '{"hidden_size": 64}',
     '{"patch_layers": 1e9, "char_layers": 1, "hidden_size": 64, "patch_length": 64}', "\udcff"],
)  # fmt: skip
def test_a_spoilt_configuration_is_named(published, config, tmp_path):
    weights.save(published, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(config, errors="surrogateescape")
    with pytest.raises(UserError, match=r"model: it holds another model than a NotaGen"):
        weights.load(str(tmp_path / "model"))


def test_another_size_names_the_model_to_choose():
    sizes = options("model")
    nano = ModelConfig(
        **{name: value for name, value in sizes["nano"].items() if name not in ("name", "defaults")}
    )
    other = NotaGen(ModelConfig(1, 1, 64, patch_length=64))
    with pytest.raises(UserError, match=r"hidden_size 256.*choose model=nano$"):
        weights.load_into(other, NotaGen(nano), "model", sizes)
    with pytest.raises(UserError, match=r"hidden_size 64.*choose the sizes it has$"):
        weights.load_into(NotaGen(nano), other, "small", sizes)


def test_saving_replaces_what_was_there_whole(published, tmp_path):
    for out in (tmp_path / "model", tmp_path / "weights.pth"):
        weights.save(NotaGen(ModelConfig(1, 1, 64, patch_length=64)), out)
        weights.save(published, out)
        assert same(weights.load(str(out)), published)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "weights.pth"}


TRY = """
import sys
from notagen.model import weights
from notagen.errors import UserError
for name in sys.argv[1:]:
    try:
        print(float(weights.load(name).char_decoder.wte.weight.detach().sum()))
    except UserError as error:
        print(str(error).replace(chr(10), " "))
"""


def answers(names: list[str], endpoint: str, cache: Path, offline: bool) -> list[str]:
    """What another process gets for hub ids: the sum of some weights, or why there are none."""
    environment = os.environ | {
        "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_OFFLINE": str(int(offline)),
        "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    command = [sys.executable, "-c", TRY, *names]
    done = subprocess.run(
        command, env=environment, cwd=cache, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_hub_ids_are_downloaded_once_and_then_need_no_hub(published, tmp_path):
    repository, cache = tmp_path / "hub" / "someone" / "music", tmp_path / "cache"
    weights.save(published, repository)
    (tmp_path / "hub" / "other" / "files").mkdir(parents=True)
    shutil.copyfile(PUBLISHED, tmp_path / "hub" / "other" / "files" / "tiny.pth")
    cache.mkdir()
    names = ["someone/music", "other/files/tiny.pth"]
    sums = [str(float(published.char_decoder.wte.weight.detach().sum()))] * 2
    wrong = ["other/files", "other/files/large.pth", "nobody/nothing"]
    with hub(tmp_path / "hub") as endpoint:
        found = answers(names + wrong, endpoint, cache, offline=False)
    assert found[:2] == sums
    assert "has no config.json; published files that it has: other/files/tiny.pth" in found[2]
    assert "has no large.pth; published files that it has: other/files/tiny.pth" in found[3]
    assert "there is no nobody/nothing" in found[4]

    # The hub has gone, whether this is known or not.
    for offline in (False, True):
        found = answers([*names, "other/files/large.pth"], endpoint, cache, offline=offline)
        assert found[:2] == sums
        assert "large.pth of other/files is not in the hub's cache" in found[2]
