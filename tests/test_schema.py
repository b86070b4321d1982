"""Types and ranges of all keys: every wrong value is refused with one sentence."""

import copy
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from notagen.config import CONF
from notagen.errors import UserError
from notagen.keys import KEYS
from notagen.schema import arguments, check, described, fits

GIVEN = {  # what must be given
    "generate": ["weights=w"],
    "evaluate": ["weights=w"],
    "export": ["weights=w", "out=o"],
    "select": ["encoder=e", "like=l", "out=o"],
}
MORE = (
    "model=nano", "callbacks=[default,ema,early_stopping]", "logger=wandb", "adapter=lora",
    "optimizer=muon", "schedule=wsd", "trainer=ddp", "debug=overfit",
)  # fmt: skip
CASES = [
    *(("train", f"stage={stage}") for stage in ("pretrain", "posttrain", "finetune", "dpo", "m3")),
    ("train", *MORE),
    ("train", "trainer=fsdp", "schedule=cosine", "logger=csv", "debug=profiler"),
    ("prepare",),
    ("prepare", "corpus=folder"),
    ("prepare", "corpus=music21"),
    ("generate",),
    ("evaluate",),
    ("evaluate", "reward=m3"),
    ("export",),
    ("select",),
    ("probe",),
]
LEAN = [("train", "stage=dpo"), ("train", *MORE), ("prepare",), ("generate",)]
ALL = [pytest.param(case, marks=[] if case in LEAN else pytest.mark.slow) for case in CASES]

NAMES = r"""
    (name|path|labels|include|prepared|run|out|weights|where|judge|like|encoder|columns|formats
    |stages|cache|first_from|starts_from|init_from|project|version|monitor|filename|policy|folder
    |corpus|dirpath|save_dir|default_root_dir|composer|period|instrumentation|key|metre|tempo
    |voices)$"""
SWITCHES = r"""
    (resume|checkpointing|enable_\w+|use_distributed_sampler|fused|temperature_first|prompts
    |auto_insert_metric_name|per_character|offline|cuda_graphs|overwrite|fast_dev_run
    |save_distributed_checkpoint|detect_anomaly|deterministic|benchmark)$"""
# Keys that take a value of the wrong kind, and rightly; all others refuse it.
ACCEPTED: list[tuple[Any, str]] = [
    ("two", NAMES),
    (True, SWITCHES),
    ("", r"(name|path|labels|include|where|judge|project|version|policy|folder|corpus|\w*dir\w*)$"),
    (
        1e30,
        r"(lr|adamw_lr|weight_decay|learning_rate\w*|temperature|alpha|min_delta|beta|dpop_lambda"
        r"|simpo_gamma|real_bits_increase|gradient_clip_val|seconds|file_mb|memory_gb)(\.\w+)?$",
    ),
    (-1, f"{NAMES[:-2]}|save_top_k|min_delta|max_similarity|self_similarity)$"),
]
ALWAYS_WRONG = [[1, "a"], {"a": 1}, math.nan, math.inf]
TOLD = [None, 0, [], 1.5, 10**20]  # as the key says


def composed(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, [*GIVEN.get(command, []), *overrides])


def leaves(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Keys without keys below them, and those of interpolations."""
    for name in map(str, node):
        child = node._get_node(name)
        assert child is not None
        if name.startswith("_"):
            continue
        plain = isinstance(child, DictConfig) and not (
            child._is_none() or child._is_interpolation() or child._is_missing()
        )
        if plain:
            yield from leaves(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def refused(base: DictConfig, value: object) -> set[str]:
    """Keys that are named when all have one value."""
    config = copy.deepcopy(base)
    OmegaConf.set_struct(config, False)
    for key in leaves(base):
        OmegaConf.update(config, key, value, merge=False)
    try:
        check(config, KEYS[str(base.command)])
    except UserError as error:
        lines = str(error).split("\nnotagen: ")
        assert all(re.fullmatch(r"[\w.]+ (must be|is|cannot be) [^\n]+", line) for line in lines)
        return {line.split(" ")[0] for line in lines}
    return set()


@pytest.mark.parametrize("case", ALL, ids=" ".join)
def test_every_key_refuses_what_is_not_of_its_type(case):
    command, *overrides = case
    base = composed(command, *overrides)
    check(base, KEYS[command])
    OmegaConf.set_struct(base, False)
    base.command = command
    keys = set(leaves(base)) - {"command"}
    for value in ALWAYS_WRONG:
        named = refused(base, value)
        below = {key.rpartition(".")[0] for key in named}  # `_target_` of what is now a mapping
        assert keys <= named | below, value
    for value in TOLD:
        refused(base, value)  # looks at the sentences
    for value, accepted in ACCEPTED:
        pattern = re.compile(accepted, re.VERBOSE)
        for key in keys - refused(base, value):
            assert pattern.search(key), (key, value)


@pytest.mark.parametrize("command", KEYS)
def test_every_key_of_a_command_has_a_type(command):
    config = composed(command)
    assert set(map(str, config)) - {"debug", "experiment"} <= set(KEYS[command].__annotations__)


def targets(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from targets(child)


def test_every_argument_of_ours_has_a_type_that_can_be_read():
    untyped = []
    for case in CASES:
        config = composed(*case)
        for target in targets(OmegaConf.to_container(config, resolve=False)):
            if target.startswith("notagen."):
                hints = arguments(get_object(target)) or {}
                untyped += [
                    f"{target} {name}"
                    for name, hint in hints.items()
                    if hint is Any and name != "**"
                ]
    assert not [name for name in untyped if not re.search(r"WandbRun|\*\*", name)]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("stage.max_steps=two", "stage.max_steps must be a whole number from 1 on, not two"),
        ("stage.max_steps=99999999999", "stage.max_steps must be .* from 1 to 2147483647, not 9+"),
        ("optimizer.lr=-1", "optimizer.lr must be a number from 0 on, not -1"),
        ("seed=true", "seed must be a whole number from 0 on, not true"),
        ("stage.data.batch_size=0", "stage.data.batch_size must be a whole number from 1 on"),
        ("trainer.precision=8", "trainer.precision must be .*, not 8"),
        ("+trainer.foo=1", "trainer.foo is no argument of lightning.Trainer; .*accelerator"),
        ("reward._target_=no.such", "reward._target_ must be the name of a class or function"),
        ("stage.data.transpose=${seed}", "stage.data.transpose must be all, near or original"),
        ("run=''", "run must be text, not empty"),
        ("~sampling", "sampling is missing"),
    ],
)
def test_the_sentence_names_key_value_and_what_is_allowed(override, sentence):
    with pytest.raises(UserError, match=sentence):
        check(composed("train", override), KEYS["train"])


def test_all_wrong_keys_are_told_at_once(run):
    wrong = ("n=0", "seed=abc", "form.tempo=99999", "formats=[]", "batch_size=1.5")
    with pytest.raises(SystemExit) as ended:
        run("generate", "weights=nowhere", *wrong)
    for item in wrong:
        assert f"notagen: {item.partition('=')[0]} must be" in str(ended.value.code)


def test_a_number_where_text_is_meant_is_its_text():
    config = composed("generate", "weights=7", "precision=16", "form.tempo=96")
    check(config, KEYS["generate"])
    assert (config.weights, config.precision, config.form.tempo) == ("7", "16", 96)


def test_a_folder_is_filled_in_by_the_command_where_null_is_allowed():
    check(composed("train", "stage=dpo"), KEYS["train"])  # policy: ${init_from}, null until then


@pytest.mark.parametrize(
    ("hint", "right", "wrong"),
    [
        (int, [1, -3], [True, 1.0, "1", None, 2**63]),
        (float, [1, 0.5], [True, math.nan, -math.inf, 10**400, "1"]),
        (bool, [True], [1, "true"]),
        (str | None, ["x", None], [1]),
        (Annotated[int, Ge(1)] | Literal["auto"], [1, "auto"], [0, "x", True]),
        (tuple[float, float], [[1, 2]], [[1], [1, "a"], 1]),
        (tuple[str, ...], [["a"], []], [[1], "a"]),
        (dict[str, int], [{"a": 1}], [{"a": "b"}, []]),
        (Annotated[float, Interval(gt=0, le=1)], [1, 0.1], [0, 1.1, "x"]),
        (Any, [1, None, [], {}], []),
    ],
)
def test_fits(hint, right, wrong):
    assert all(fits(value, hint) for value in right)
    assert not any(fits(value, hint) for value in wrong)


def test_a_type_in_words():
    assert described(Annotated[float, Interval(gt=0, le=1)]) == "a number above 0 to 1"
    assert described(list[str] | None) == "a list of text or null"
    assert described(Literal["a", "b", True]) == "a, b or true"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_process_ends_with_a_sentence(case, tmp_path):
    command, *overrides = case
    base = composed(*case)
    keys = sorted(leaves(base))
    for key, value in zip(keys[:: max(1, len(keys) // 3)], ("[1,a]", "nan", "{a:1}"), strict=False):
        ended = subprocess.run(
            [sys.executable, "-m", f"notagen.{command}", *GIVEN.get(command, []), *overrides,
             f"{key}={value}"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ended.returncode == 1, (key, value)
        assert ended.stderr.startswith("notagen: "), ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stdout == ""
