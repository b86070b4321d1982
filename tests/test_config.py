import inspect
import re

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from notagen.config import CONF, explain
from notagen.model import ModelConfig, NotaGen

GROUPS = {
    group.name: sorted(path.stem for path in group.glob("*.yaml"))
    for group in CONF.iterdir()
    if group.is_dir()
}
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
BASES = {  # what other options of the group stand on; chosen by none
    "model=base", "stage=language_model", "sampling=base", "hydra=quiet", "hydra=train",
}  # fmt: skip
OPTIONS = [
    f"{group}={option}"
    for group, options in GROUPS.items()
    for option in options
    if f"{group}={option}" not in BASES
]


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
    needs = {"reward=clamp2": ["reward.name=x"], "model=m3": ["stage=m3"]}.get(option, [])
    config = OmegaConf.to_container(composed("train", option, *needs), resolve=True)
    del config["model"]["name"]  # a label, which train leaves out
    for node in targets(config):
        if node["_target_"] == "datetime.timedelta":
            continue  # a builtin has no signature to read
        parameters = inspect.signature(get_object(node["_target_"])).parameters
        assert {key for key in node if not key.startswith("_")} <= set(parameters), node


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_and_explains_itself(command):
    config = composed(command)
    missing = OmegaConf.missing_keys(config)
    assert missing <= {"weights", "out", "run", "encoder", "like"}
    shown = explain(command, [])
    assert f"python -m notagen.{command} " in shown
    for key in config:
        assert f"{key}:" in shown or f"--- {key}=" in shown


@pytest.mark.parametrize("size", ["nano", "small", "medium", "large", "x"])
def test_a_size_is_what_its_comment_says(size, golden):
    path = CONF / "model" / f"{size}.yaml"
    values = OmegaConf.to_container(composed("train", f"model={size}").model)
    assert values.pop("name") == size
    assert values.pop("_target_") == "notagen.model.NotaGen.with_sizes"
    sizes = ModelConfig(**values)
    published = golden("published_sizes.json").get({"x": "large"}.get(size, size))
    if published:
        assert f"{published['parameters']:,} parameters" in path.read_text()
        with torch.device("meta"):
            weights = NotaGen(sizes).parameters()
        assert sum(weight.numel() for weight in weights) == published["parameters"]


# As published: stage, size -> learning rate, pieces a step on a device, keys, context in patches.
RECIPES = {
    ("pretrain", "small"): (2e-4, 8, "all", 2048),
    ("pretrain", "medium"): (1e-4, 4, "all", 2048),
    ("pretrain", "large"): (1e-4, 4, "all", 1024),
    ("pretrain", "x"): (1e-4, 4, "all", 1024),
    ("finetune", "small"): (1e-5, 1, "near", 2048),
    ("finetune", "medium"): (1e-5, 1, "near", 2048),
    ("finetune", "large"): (1e-5, 1, "near", 1024),
    ("finetune", "x"): (1e-5, 1, "original", 1024),
}


@pytest.mark.parametrize(("stage", "size"), RECIPES)
def test_a_stage_is_the_published_recipe(stage, size):
    config = composed("train", f"stage={stage}", f"model={size}", "trainer=ddp")
    rate, batch, keys, context = RECIPES[stage, size]
    assert config.optimizer._target_ == "torch.optim.AdamW"
    assert config.optimizer.lr == rate
    assert config.schedule._target_ == "transformers.get_constant_schedule_with_warmup"
    assert config.schedule.num_warmup_steps == 1000
    assert config.stage.data.batch_size == batch
    assert config.stage.data.transpose == keys
    assert config.stage.data.patch_length == config.model.patch_length == context
    assert config.model.dropout == 0.1
    assert config.trainer.accumulate_grad_batches == 1
    assert config.init_from is None
    assert list(config.stage.starts_from) == (
        [] if stage == "pretrain" else ["posttrain", "pretrain"]
    )


@pytest.mark.parametrize("trainer", ["gpu", "ddp", "fsdp"])
def test_gpus_compute_in_half_precision(trainer):
    """As published, but in bfloat16, which needs no scaling of the loss."""
    assert composed("train", f"trainer={trainer}").trainer.precision == "bf16-mixed"


@pytest.mark.parametrize("size", ["small", "medium", "large", "x"])
def test_posttraining_lies_between(size):
    """Its recipe is not published; its rate is between those of its neighbours."""
    rates = {
        stage: composed("train", f"stage={stage}", f"model={size}").optimizer.lr
        for stage in ("pretrain", "posttrain", "finetune")
    }
    assert rates["pretrain"] > rates["posttrain"] > rates["finetune"]


@pytest.mark.parametrize("size", ["small", "medium", "large", "x"])
def test_dpo_is_the_published_recipe(size):
    config = composed("train", "stage=dpo", f"model={size}", "trainer=gpu")
    assert config.optimizer.lr == 1e-6
    assert config.trainer.max_steps == 10_000
    assert config.trainer.gradient_clip_val == 1.0
    assert config.stage.data.batch_size == 1
    module = config.stage.module
    assert (module.loss_type, module.beta, module.dpop_lambda) == ("dpop", 0.1, 10.0)
    preferences = config.stage.preferences
    assert (preferences.fraction, preferences.max_similarity) == (0.1, 0.95)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("optimizer.learning_rate=1", "optimizer has no key learning_rate; it has betas,.* lr,"),
        ("optimzer.lr=1", "no key optimzer; .*did you mean optimizer"),
        ("stage.dta.workers=1", "stage has no key dta; .*did you mean data"),
        ("stage.data.select=x", "stage.data has no key select; .*did you mean where"),
        ("sampling.tries=3", "did you mean max_resamples"),
        ("form.key=F#min", "form.key=F#min cannot be read; .*: 'form.key=\"F#min\"'"),
        ("hydra/launcher=joblib", r"pip install 'notagen\[scale\]'"),
        ("model=null", r"model=null is no option: choose large\|m3"),
        ("~optimizer", "optimizer is missing; it must be"),
        ("model=true", "cannot take model=true"),
        ("model=huge", "Available options in 'model':\\s+base\\s+large\\s+m3\\s+medium\\s+nano"),
    ],
)
def test_a_wrong_key_or_option_is_answered_with_the_right_ones(run, override, sentence):
    with pytest.raises(SystemExit, match=sentence):
        run("train", override)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_is_commented(path):
    """On its own line, or in that of the block it stands in, or in the option it stands on.

    Experiments and debug options set keys of others; hydra's are Hydra's.
    """
    text = path.read_text()
    assert text.startswith("# "), "it does not say what it is"
    if path.parent.name in ("experiment", "debug", "hydra"):
        return
    keys = [line for line in text.splitlines() if re.match(r" *[a-z]\w*: *[^\s#]", line)]
    bare = {line.split(":")[0].strip() for line in keys if "#" not in line}
    below = (
        path.with_name(f"{name}.yaml")
        for name in yaml.safe_load(text).get("defaults", [])
        if isinstance(name, str)
    )
    explained = {
        key
        for other in below
        if other.is_file()
        for key in re.findall(r"(\w+):", other.read_text())
    }
    assert bare <= {"name", "defaults", "nano", "small", "medium", "large", "x", *explained}
