"""Files that somebody else may have written are data: nothing in them runs."""

import ast
import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
import yaml

from notagen.model import weights
from tests.helpers.iterations import give_samples, overrides, random_start
from tests.helpers.overrides import small

SOURCE = Path(__file__).parents[1] / "src" / "notagen"


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def as_pickle(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(trace)))


def as_zip(path: Path, trace: Path) -> None:
    """As torch.save writes."""
    with path.open("wb") as file:
        torch.save({"state_dict": {}, "payload": Payload(trace)}, file)


def as_target(path: Path, trace: Path) -> None:
    """Every mapping in a configuration becomes one that Hydra would build a folder from."""
    target = {"_target_": "os.mkdir", "path": str(trace)}

    def poisoned(node: Any) -> Any:
        if isinstance(node, dict):
            return {**{key: poisoned(value) for key, value in node.items()}, **target}
        return [poisoned(value) for value in node] if isinstance(node, list) else node

    read, write = (json.loads, json.dumps) if path.suffix == ".json" else YAML
    path.write_text(write(poisoned(read(path.read_text()))))


YAML = (yaml.safe_load, yaml.safe_dump)


def call(name: str, keys) -> None:
    """Run a command on files that may be spoilt: it may end as it likes."""
    __import__(f"notagen.{name}")
    sys.argv = [f"notagen.{name}", *keys]
    try:
        sys.modules[f"notagen.{name}"].main()
    except (SystemExit, Exception) as error:
        print(f"{name}: {error!r}")


def shard(checkpoint: Path, folder: Path, **more: Any) -> None:
    """Write a checkpoint as FSDP does: a folder of shards."""
    contents = torch.load(checkpoint, weights_only=True)
    states = {"state_dict": contents.pop("state_dict"), "optimizer_0": {"lr": 0.1}, **more}
    contents.pop("optimizer_states")
    dcp.save(states, checkpoint_id=folder, no_dist=True)
    torch.save(contents, folder / "meta.pt")


@pytest.fixture(scope="module")
def here(tmp_path_factory, corpus, rows):
    """A run, its last checkpoint as shards, its corpus, an encoder and a complete iteration."""
    here = tmp_path_factory.mktemp("here")
    shutil.copytree(corpus, here / "corpus")
    random_start(here)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        call("train", small(Path("corpus"), "run=one"))
        give_samples(rows, Path("runs/one/dpo-1"))
        call("train", overrides(Path(), Path("corpus"), "one"))
    assert (here / "runs/one/dpo-1/model").is_dir()
    shutil.rmtree(here / "runs/one/dpo-1/model")
    shard(here / "runs/one/pretrain/checkpoints/last.ckpt", here / "shards.ckpt")
    return here


CORPUS = "corpus.prepared=corpus"
MODEL = "runs/one/pretrain/model"
LAST = "runs/one/pretrain/checkpoints/last.ckpt"
NEW = small(Path("corpus"), "run=new", "stage.max_steps=1")
READERS = {
    "evaluate a model": ("evaluate", [f"weights={MODEL}", CORPUS], [MODEL, "corpus"]),
    "evaluate shards": ("evaluate", ["weights=shards.ckpt", CORPUS], ["shards.ckpt"]),
    "evaluate a checkpoint": ("evaluate", [f"weights={LAST}", CORPUS], [LAST]),
    "evaluate a run": (
        "evaluate", ["weights=runs/one", "stages=pretrain"], ["runs/one/pretrain"],
    ),
    "generate": ("generate", [f"weights={MODEL}", "max_patches=2"], [MODEL]),
    "generate from shards": ("generate", ["weights=shards.ckpt"], ["shards.ckpt"]),
    "export": ("export", [f"weights={LAST}", "out=out.pth"], [LAST]),
    "export shards": ("export", ["weights=shards.ckpt", "out=out"], ["shards.ckpt"]),
    "pretrain": ("train", NEW, ["corpus"]),
    "resume": ("train", small(Path("corpus"), "run=one", "resume=true"), ["runs/one/pretrain"]),
    "resume from shards": (
        "train", small(Path("corpus"), "out=shared", "resume=true"), ["shards.ckpt"],
    ),
    "finetune": ("train", [*NEW, "stage=finetune", f"init_from={MODEL}"], [MODEL]),
    "finetune from shards": (
        "train", [*NEW, "stage=finetune", "init_from=shards.ckpt"], ["shards.ckpt"],
    ),
    "dpo": (
        "train", overrides(Path(), Path("corpus"), "one"), ["runs/one/dpo-1", "encoder"],
    ),
    "select": (
        "select", ["encoder=encoder", "like='bars > 1'", CORPUS, "out=new"], ["encoder"],
    ),
    "probe": ("probe", ["reward.name=encoder", CORPUS, "most=4"], ["encoder", "corpus"]),
    "prepare": ("prepare", ["corpus=folder", "corpus.path=corpus", "out=corpus"], ["corpus"]),
}  # fmt: skip


READ_AS = {as_target: {".json", ".yaml"}, as_zip: {".ckpt", ".pt", ".distcp", ""}}


def files(roots) -> list[Path]:
    found = [path for root in map(Path, roots) for path in (root, *root.rglob("*"))]
    return [path for path in found if path.is_file() and "tfevents" not in path.name]


@pytest.mark.parametrize("poison", [as_pickle, as_zip, as_target])
@pytest.mark.parametrize("reader", READERS)
def test_nothing_in_a_file_runs(here, tmp_path, monkeypatch, reader, poison):
    command, keys, roots = READERS[reader]
    trace = tmp_path / "it ran"
    monkeypatch.chdir(here)
    for file in files(roots):
        if file.suffix not in READ_AS.get(poison, {file.suffix}):
            continue
        copy = tmp_path / "copy"
        shutil.copytree(here, copy)
        monkeypatch.chdir(copy)
        poison(file, trace)
        Path("shared/checkpoints").mkdir(parents=True)
        Path("shared/checkpoints/last.ckpt").symlink_to(copy / "shards.ckpt")
        call(command, keys)
        assert not trace.exists(), f"{file} ran"
        monkeypatch.chdir(here)
        shutil.rmtree(copy)


def test_a_payload_runs_where_it_is_unpickled_or_built(here, tmp_path):
    from hydra.utils import instantiate

    for poison in (as_pickle, as_target):
        file = tmp_path / "file.json"
        file.write_text("{}")
        poison(file, tmp_path / "it ran")
        content = file.read_bytes()
        pickle.loads(content) if poison is as_pickle else instantiate(json.loads(content))
        (tmp_path / "it ran").rmdir()


def test_shards_are_read_where_they_hold_values_alone(here):
    assert weights.load(str(here / "shards.ckpt")).config.hidden_size == 64


def test_a_pickle_beside_the_tensors_of_shards_is_refused(here, tmp_path):
    trace = tmp_path / "it ran"
    folder = tmp_path / "shards.ckpt"
    shard(here / LAST, folder, payload=Payload(trace))
    if trace.exists():  # copied on its way into the shards
        trace.rmdir()
    with pytest.raises(weights.UserError, match="damaged or another kind"):
        weights.load(str(folder))
    assert not trace.exists()


UNPICKLING = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
BUILDING = {"instantiate", "get_class", "get_method", "get_object", "eval", "exec"}


def _calls(path: Path):
    """Imported names and calls of a file: (name, keyword arguments)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for alias in node.names:
                yield (module or alias.name).split(".")[0], alias.name, None
        elif isinstance(node, ast.Call):
            keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
            yield "call", ast.unparse(node.func), keywords


def test_only_known_files_unpickle_or_build():
    """The unpickler that knows a checkpoint's classes, and the builder of our own conf/."""
    unpickles, builds = set(), set()
    for path in SOURCE.rglob("*.py"):
        name = str(path.relative_to(SOURCE))
        for module, called, keywords in _calls(path):
            last = called.split(".")[-1]
            if module in UNPICKLING and called != "UnpicklingError":
                unpickles.add(name)
            if last in BUILDING and not called.endswith(".eval"):
                builds.add(name)
            if keywords is None:
                continue
            if called in ("torch.load", "trainer.fit", "trainer.validate", "trainer.predict"):
                assert called == "trainer.predict" or keywords.get("weights_only") == "True", name
            assert last not in ("read_pickle", "unsafe_load", "full_load"), name
            assert keywords.get("allow_pickle", "False") == "False", name
    # and machine code, from the cache that numba keeps for this user
    assert unpickles == {"model/shards.py", "model/decoding/machine_code.py"}
    # The schema only looks at what conf/ names.
    assert builds == {"config.py", "schema.py"}
