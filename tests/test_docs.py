"""Commands, keys and Python of README, docs, conf/ and Makefile: they compose, exist and run."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from notagen.config import CONF
from notagen.model import weights
from tests.helpers.overrides import small
from tests.helpers.scripted import DUET, scripted

TOP = Path(__file__).parents[1]
PAGES = {
    page.name: page.read_text()
    for page in (TOP / "README.md", *sorted((TOP / "docs").glob("*.md")))
}
MADE = subprocess.run(
    ["make", "--dry-run", "--always-make", "quickstart", "chain", "dpo-demo"],
    cwd=TOP,
    check=True,
    capture_output=True,
    text=True,
).stdout
CHOICES = {  # so that every key of conf/ is in one of them
    "train": ["", "stage=dpo", "stage=m3", "adapter=lora", "trainer=ddp", "trainer=fsdp"],
    "prepare": ["corpus=folder", "corpus=music21"],
    "evaluate": ["reward=m3"],
}


def commands(text: str) -> set[tuple[str, ...]]:
    """Words after ``python -m`` of every command of ours, without comments."""
    joined = text.replace("\\\n", " ").replace("\n# ", "\n")
    lines = re.findall(r"python -m notagen\.(\w+[^\n`]*)", joined)
    lines += re.findall(r"-m notagen\.(train[^\n`]*)", joined)  # torchrun's
    split = (shlex.split(line.split("  # ")[0], comments=True) for line in lines)
    return {tuple(words) for words in split}


COMMANDS = sorted(
    {
        command
        for text in (*PAGES.values(), MADE, *(path.read_text() for path in CONF.rglob("*.yaml")))
        for command in commands(text)
        if Path(CONF, f"{command[0]}.yaml").is_file()
    }
)


def one_job(override: str) -> str:
    """An override with the first value of its sweep; one without a sweep as it is."""
    [parsed] = OverridesParser.create().parse_overrides([override])
    if not parsed.is_sweep_override():
        return override
    first = next(iter(parsed.sweep_string_iterator()))
    return f"{parsed.input_line.split('=')[0]}={first}"


def composed(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(filter(None, overrides)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_composes(command):
    name, *words = command
    words = [word for word in words if "=" in word and not word.startswith("hydra")]
    config = composed(name, *map(one_job, words))
    OmegaConf.to_container(config, resolve=True)


def keys(node: object, above: str = "") -> set[str]:
    if not isinstance(node, dict):
        return set()
    return {
        found
        for key, value in node.items()
        for found in ({f"{above}{key}"} | keys(value, f"{above}{key}."))
    }


@pytest.fixture(scope="module")
def all_keys() -> set[str]:
    configs = [
        composed(path.stem, choice)
        for path in CONF.glob("*.yaml")
        for choice in CHOICES.get(path.stem, [""])
    ]
    found = {key for config in configs for key in keys(OmegaConf.to_container(config))}
    return found | {path.name for path in CONF.iterdir() if path.is_dir()}


@pytest.mark.parametrize("page", PAGES)
def test_every_key_is_there(page, all_keys):
    named = re.findall(r"`([a-z][\w.]*)=[^`\s]*`", PAGES[page])
    assert named
    assert {key for key in named if not key.startswith("hydra")} <= all_keys


@pytest.mark.parametrize("page", PAGES)
def test_every_file_is_there(page):
    linked = re.findall(r"\]\(((?!https?:|#)[^)]+)\)", PAGES[page])
    named = re.findall(r"`((?:tests|docs|conf|notebooks)/[\w./]+)`", PAGES[page])
    for path in linked + named:
        assert (TOP / path).exists() or (TOP / "docs" / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_section_is_there(page):
    headings = re.findall(r"^#+ (.*)$", PAGES[page], re.MULTILINE)
    sections = {heading.lower().replace(" ", "-").replace(",", "") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGES[page])) <= sections


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)


def test_a_piece_is_written_and_engraved(run):
    """The first block as it stands there, but for what the scripted model begins from."""
    weights.save(scripted(), Path("runs/quickstart/pretrain/model"))
    block, _ = python_blocks()
    beginnings = '[""] * 4'
    assert beginnings in block
    exec(block.replace(beginnings, repr([DUET.format(3)])), {})
    assert "<svg" in Path("piece.svg").read_text()


def test_a_stage_is_validated_by_a_trainer_of_ones_own(run, corpus):
    """The second block as it stands there."""
    run("train", *small(corpus, "run=quickstart", "model.patch_length=512", "~callbacks.sample"))
    Path("datasets").mkdir()
    Path("datasets/chorales").symlink_to(corpus)
    _, block = python_blocks()
    found = {}
    exec(block, found)
    assert 0 < found["trainer"].callback_metrics["val/bits_per_character"] < 9
