import inspect
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from notagen.config import CONF
from notagen.model import ModelConfig, NotaGen

GROUPS = {
    group.name: sorted(path.stem for path in group.glob("*.yaml"))
    for group in CONF.iterdir()
    if group.is_dir()
}
OPTIONS = [f"{group}={option}" for group, options in GROUPS.items() for option in options]


def composed(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


def targets(node: object) -> list[dict]:
    """All nodes with a ``_target_``."""
    if isinstance(node, dict):
        own = [node] if "_target_" in node else []
        return own + [found for value in node.values() for found in targets(value)]
    if isinstance(node, list):
        return [found for value in node for found in targets(value)]
    return []


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_composes_and_every_target_takes_its_keys(option):
    config = composed("train", option)
    for node in targets(OmegaConf.to_container(config, resolve=True)):
        parameters = inspect.signature(get_object(node["_target_"])).parameters
        assert {key for key in node if not key.startswith("_")} <= set(parameters), node


@pytest.mark.parametrize("command", ["prepare", "generate", "evaluate"])
def test_other_commands_compose(command):
    config = composed(command)
    missing = OmegaConf.missing_keys(config)
    assert missing <= {"weights"}


@pytest.mark.parametrize("size", GROUPS["model"])
def test_a_size_is_what_its_comment_says(size, golden):
    path = CONF / "model" / f"{size}.yaml"
    values = yaml.safe_load(path.read_text())
    assert values.pop("name") == size
    sizes = ModelConfig(**values)
    published = golden("published_sizes.json").get({"x": "large"}.get(size, size))
    if published:
        assert f"{published['parameters']:,} parameters" in path.read_text()
        with torch.device("meta"):
            weights = NotaGen(sizes).parameters()
        assert sum(weight.numel() for weight in weights) == published["parameters"]


@pytest.mark.parametrize(
    ("size", "rate", "batch"),
    [("small", 2e-4, 8), ("medium", 1e-4, 4), ("large", 1e-4, 4), ("x", 1e-4, 4)],
)
def test_pretraining_is_the_published_recipe(size, rate, batch):
    config = composed("train", "stage=pretrain", f"model={size}", "trainer=ddp")
    assert config.optimizer.lr == rate
    assert config.stage.data.batch_size == batch
    assert config.stage.data.transpose == "all"
    assert config.schedule._target_ == "transformers.get_constant_schedule_with_warmup"
    assert config.schedule.num_warmup_steps == 1000
    assert config.optimizer._target_ == "torch.optim.AdamW"
    assert config.model.dropout == 0.1


def test_every_key_is_commented():
    """A key is explained on its own line, or heads a block, or is Hydra's own."""
    plain = ("_target_", "_partial_", "defaults", "hydra", "name", "job", "run", "sweep")
    for path in Path(CONF).rglob("*.yaml"):
        if path.parent.name == "experiment":
            continue  # its keys are explained where they are declared
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# "), f"{path} does not say what it is"
        for line in lines:
            key, colon, value = line.strip().removeprefix("- ").partition(": ")
            if colon and value and not value.startswith("#") and not key.startswith(plain):
                known = key.split(" ")[0] in OBVIOUS
                assert "#" in line or known or key.startswith("-"), f"{path}: {line}"


# Keys that say by their name and value what they are.
OBVIOUS = {
    "accelerator", "betas", "dirpath", "filename", "job_logging", "learning_rate",
    "logging_interval", "mode", "monitor", "momentum", "num_nodes", "num_training_steps",
    "num_warmup_steps", "output_subdir", "save_top_k", "seed", "strategy", "version",
    "weight_decay", "save_dir", "enable_version_counter", "auto_insert_metric_name",
    "default_root_dir", "enable_model_summary", "precision", "sampling", "every_n_steps",
    "top_k", "top_p", "temperature", "devices", "stage", "model", "corpus", "trainer",
    "optimizer", "schedule", "logger", "callbacks", "experiment", "lr", "nano", "small", "medium",
    "large", "x", "use_distributed_sampler", "fast_dev_run",
}  # fmt: skip
