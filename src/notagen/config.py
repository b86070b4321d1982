"""Configuration: ``conf/`` to objects, commands with help and one sentence an error, the plan."""

from __future__ import annotations

import difflib
import functools
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from notagen import __version__
from notagen.atomic import write
from notagen.errors import UserError
from notagen.exits import explained, extra_of, listen, sentence
from notagen.keys import KEYS
from notagen.schema import check

_PACKAGE = Path(__file__).parent

CONF: Final = next(
    path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir()
)
"""``conf/``: beside the modules in an installed wheel, at the top of a clone."""


def _iteration_start(iteration: int, first_from: ListConfig) -> ListConfig:
    """Stages that an iteration of DPO may start from: the one before, if it is not the first."""
    return OmegaConf.create([f"dpo-{iteration - 1}"]) if iteration > 1 else first_from


def _folder_name(path: str) -> str:
    """The last part of a path or an address, also of ``.`` and ``scores/``."""
    return (Path(path.rstrip("/")) if "://" in path else Path(path).resolve()).name or "scores"


OmegaConf.register_new_resolver("iteration_start", _iteration_start, replace=True)
OmegaConf.register_new_resolver("folder_name", _folder_name, replace=True)


_CALLED: Final = re.compile("call to target '([^']+)'")
_PLACE: Final = re.compile("full_key: (.+)")

_FORMER: Final = {  # what was each key's name up to version 0.1
    "chunk": ["char_chunk"],
    "fewest_real": ["min_real"],
    "follows": ["starts_from", "first_from"],
    "graphs": ["cuda_graphs"],
    "keep": ["export"],
    "loss": ["loss_type"],
    "most": ["max_per_label"],
    "most_patches": ["max_patches"],
    "most_similar": ["max_similarity"],
    "most_strayed": ["max_misaligned"],
    "order": ["ngram_order"],
    "penalty": ["dpop_lambda"],
    "reach": ["conv_radius"],
    "restored": ["patches_per_step"],
    "rows": ["batch_size"],
    "select": ["where"],
    "share": ["fraction"],
    "target": ["simpo_gamma"],
    "tries": ["max_resamples"],
    "weights": ["name"],
}


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of one configuration into a command of this project.

    The command takes Hydra overrides, composes ``conf/<config_name>.yaml``, and checks the types
    and ranges of all its keys. It ends with one sentence and exit code 1 where a user or the
    machine has caused an error, see :mod:`notagen.exits`, and with 130 or 143 where it is told to
    stop by Ctrl-C or SIGTERM.
    """

    def decorate(run: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        started = False

        @functools.wraps(run)
        def checked(config: DictConfig) -> Any:
            nonlocal started
            started = True
            with explained():
                check(config, KEYS[config_name])
                return run(config)

        composing = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(
            checked
        )

        @functools.wraps(run)
        def main() -> Any:
            nonlocal started
            started = False
            listen()
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, io.TextIOWrapper):  # a terminal may know ASCII alone
                    stream.reconfigure(errors="backslashreplace")
            os.environ["HYDRA_FULL_ERROR"] = "1"  # errors of composing are told here, not there
            arguments = sys.argv[1:]
            with explained():
                if {"--help", "-h"} & set(arguments):
                    print(explain(config_name, arguments))
                    return None
                if "--version" in arguments:
                    print(f"notagen {__version__}")
                    return None
                # Hydra takes no option in the middle of the overrides.
                sys.argv[1:] = sorted(arguments, key=lambda word: word not in ("-m", "--multirun"))
                try:
                    return composing()
                except Exception as error:
                    if started or sentence(error) is not None:
                        raise
                    raise UserError(_not_composed(error, config_name, arguments)) from error

        return main

    return decorate


def _not_composed(error: Exception, config_name: str, arguments: Sequence[str]) -> str:
    """Reason why Hydra could not compose a configuration, and what it could."""
    if isinstance(error, OverrideParseException):
        key, _, value = error.override.partition("=")
        return (
            f"{error.override} cannot be read; a value with spaces or signs stands in two pairs of "
            f"quotes: '{key}=\"{value}\"'"
        )
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        if group == "hydra/launcher" and (extra := extra_of(f"hydra-{option}-launcher")):
            return f"{group}={option} is not installed; `pip install 'notagen[{extra}]'` does that"
    if unknown := unknown_keys(config_name, arguments):
        return "\nnotagen: ".join(unknown)
    reason = str(error).partition("\nConfig search path")[0].rstrip()
    if isinstance(error, HydraException | OmegaConfBaseException):
        return reason
    for key, _, value in (argument.partition("=") for argument in arguments):
        if value == "null" and (CONF / key).is_dir():
            return f"{key}=null is no option: choose {'|'.join(_choices(key))}, or give ~{key}"
    return f"cannot take {' '.join(arguments)}: {reason}"  # of Hydra's own checks


def unknown_keys(config_name: str, arguments: Sequence[str]) -> list[str]:
    """A sentence for each override of a key that is not there, with the keys that are."""
    try:
        overrides = OverridesParser.create().parse_overrides(
            [argument for argument in arguments if not argument.startswith("-")]
        )
        options = [item.input_line for item in overrides if (CONF / item.key_or_group).is_dir()]
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose(config_name, [str(line) for line in options])
    except (HydraException, ValueError):
        return []  # Hydra's own sentence names the choices
    changed = [
        item.key_or_group
        for item in overrides
        if not (item.is_add() or item.is_delete() or item.input_line in options)
        and not item.key_or_group.startswith("hydra")
    ]
    return [sentence for key in changed if (sentence := _missing(config, key))]


def _missing(config: DictConfig, key: str) -> str | None:
    node: Any = config
    for depth, name in enumerate(names := key.split(".")):
        if not isinstance(node, DictConfig):
            return None
        if name not in node.keys():  # noqa: SIM118, what must be given is not `in` it
            place = ".".join(names[:depth]) or "the configuration"
            keys = sorted(str(other) for other in node if not str(other).startswith("_"))
            known = [key for key in keys if key in _FORMER.get(name, ())]
            near = known or difflib.get_close_matches(name, keys, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"{place} has no key {name}; it has {', '.join(keys)}{hint}"
        node = node._get_node(name)
    return None


def explain(config_name: str, overrides: Sequence[str]) -> str:
    """All keys of a command with their comments: its own, then those of each chosen option."""
    chosen = dict(override.split("=", 1) for override in overrides if "=" in override)
    root = (CONF / f"{config_name}.yaml").read_text()
    parts = [f"python -m notagen.{config_name} [key=value ...] [group=option ...]", root]
    for default in _defaults(root):  # a command may need no groups
        if default == "_self_" or "hydra" in default:
            continue
        [(group, option)] = default.items()
        parts.append(f"--- {group}={'|'.join(_choices(group))}")
        option = chosen.get(group, option)
        if option is not None:
            for name in option.strip("[]").split(","):
                parts += [f"{group}={each}:\n{text}" for each, text in _read(group, name.strip())]
    return "\n".join(parts)


def _defaults(text: str) -> list[Any]:
    values = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(values, dict)
    return list(values.get("defaults", []))


def _choices(group: str) -> list[str]:
    """Options of a group that stand for themselves, not only under others in their defaults."""
    texts = {path.stem: path.read_text() for path in sorted((CONF / group).glob("*.yaml"))}
    under = {name for text in texts.values() for name in _defaults(text) if isinstance(name, str)}
    return [name for name in texts if name not in under]


def _read(group: str, option: str) -> Iterator[tuple[str, str]]:
    """The file of an option, after those in its defaults, each indented."""
    path = CONF / group / f"{option}.yaml"
    if not path.is_file():
        raise SystemExit(f"notagen: there is no {group}={option}")
    text = path.read_text()
    for default in _defaults(text):
        if isinstance(default, str) and default != "_self_":
            yield from _read(group, default)
    yield option, "".join(f"  {line}\n" for line in text.splitlines())


def build(node: DictConfig, *leave_out: str, **arguments: Any) -> Any:
    """Make the object a node with ``_target_`` describes; containers become plain Python.

    Args:
        node: its ``_target_`` is called with its other keys.
        leave_out: keys that are for people and interpolations, and no arguments.
        arguments: more arguments, made already.

    Raises:
        UserError: the one that the object's constructor raised, it needs a library that is not
            installed, or another library refuses the arguments.
    """
    if leave_out:
        parent, node = node._get_parent(), node.copy()
        node._set_parent(parent)  # a copy resolves its interpolations where the original does
        OmegaConf.set_struct(node, False)
        for key in leave_out:
            node.pop(key)
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if cause is not None and sentence(cause) is not None:
            raise cause from None
        target = found[1] if (found := _CALLED.search(str(error))) else str(node._target_)
        if isinstance(cause, ImportError):
            raise UserError(
                f"{target} needs a library: {cause}; extras are installed as in `pip install "
                "'notagen[wandb]'`"
            ) from error
        refused = type(cause).__name__ == "MisconfigurationException"  # Lightning's
        if cause is None or not (refused or not target.startswith("notagen.")):
            raise
        place = found[1] if (found := _PLACE.search(str(error))) else node._get_full_key(None)
        raise UserError(f"{place}: {target} refuses this: {cause}") from error


def build_each(nodes: DictConfig) -> list[Any]:
    """Make the objects of a group whose members have names; those that are null are left out."""
    return [build(node) for node in nodes.values() if node is not None]


def plain(node: DictConfig, *leave_out: str) -> dict[str, Any]:
    """A node's resolved keys and values as plain Python, without ``leave_out``."""
    values = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key not in leave_out}


def listed(value: str | Sequence[str]) -> list[str]:
    """A key that takes a list, given as one or as one word: ``formats=abc``."""
    return [value] if isinstance(value, str) else list(value)


def options(group: str) -> dict[str, dict[str, Any]]:
    """All options of a group, by name, as their files give them."""
    return {
        name: plain(OmegaConf.load(CONF / group / f"{name}.yaml"))  # type: ignore[arg-type]
        for name in _choices(group)
    }


def chosen(group: str) -> bool:
    """True if an option of a group was chosen by the user or an experiment, not by default."""
    composed = HydraConfig.get()
    root = (CONF / f"{composed.job.config_name}.yaml").read_text()
    defaults = {
        name: option
        for default in _defaults(root)
        if isinstance(default, dict)
        for name, option in default.items()
    }
    words = {override.partition("=")[0] for override in composed.overrides.task}
    return group in words or composed.runtime.choices[group] != defaults[group]


def save(config: DictConfig, path: Path) -> None:
    """Write the composed, resolved configuration as YAML."""
    write(path, OmegaConf.to_yaml(config, resolve=True))


def saved(path: Path) -> dict[str, Any]:
    """The values in a configuration that :func:`save` wrote: data, of which nothing is built.

    Raises:
        UserError: there is none, or it is not one.
    """
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"cannot read the configuration in {path}: {error}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is no configuration")
    return {str(key): value for key, value in values.items()}


def announce(command_name: str, plan: dict[str, object]) -> None:
    """Print what a command is about to do, a line a fact."""
    width = max(len(key) for key in plan)
    print(f"{command_name}:", flush=True)
    for key, value in plan.items():
        print(f"  {key:<{width}}  {value}", flush=True)


def quiet() -> None:
    """Silence the notices of libraries that tell a user nothing to act on."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning on a newer torch
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")  # on resuming
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # as stage=dpo wants
