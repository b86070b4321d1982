"""Where the configuration lies, and the one place that turns it into objects."""

from __future__ import annotations

import functools
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from notagen.errors import UserError

_PACKAGE = Path(__file__).parent

CONF: Final = next(
    path for path in (_PACKAGE / "conf", _PACKAGE.parents[1] / "conf") if path.is_dir()
)
"""``conf/``: beside the modules in an installed wheel, at the top of a clone."""


def command(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], Any]]:
    """Make a function of one configuration into a command of this project.

    The command takes Hydra overrides, composes ``conf/<config_name>.yaml``, and ends with one
    sentence and exit code 1 where the function raises :class:`UserError`.
    """

    def decorate(run: Callable[[DictConfig], Any]) -> Callable[[], Any]:
        @functools.wraps(run)
        def reporting(config: DictConfig) -> Any:
            try:
                return run(config)
            except UserError as error:
                sys.exit(f"notagen: {error}")

        composing = hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(
            reporting
        )

        @functools.wraps(run)
        def main() -> Any:
            if {"--help", "-h"} & set(sys.argv):
                print(explain(config_name, sys.argv[1:]))
                return None
            return composing()

        return main

    return decorate


def explain(config_name: str, overrides: Sequence[str]) -> str:
    """All keys of a command with their comments: its own, then those of each chosen option."""
    chosen = dict(override.split("=", 1) for override in overrides if "=" in override)
    root = (CONF / f"{config_name}.yaml").read_text().partition("\nhydra:")[0]
    parts = [f"python -m notagen.{config_name} [key=value ...] [group=option ...]", root]
    keys = OmegaConf.to_container(OmegaConf.create(root))
    assert isinstance(keys, dict)
    for default in keys["defaults"]:
        if default == "_self_":
            continue
        [(group, option)] = default.items()
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        parts.append(f"--- {group}={'|'.join(options)}")
        option = chosen.get(group, option)
        if option is not None:
            parts.append(f"{group}={option}:\n" + _indented(_read_option(group, option)))
    return "\n".join(parts)


def _read_option(group: str, option: str) -> str:
    path = CONF / group / f"{option}.yaml"
    if not path.is_file():
        raise SystemExit(f"notagen: there is no {group}={option}")
    return path.read_text()


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def build(node: DictConfig, **arguments: Any) -> Any:
    """Make the object a node with ``_target_`` describes; containers become plain Python.

    Raises:
        UserError: the one that the object's constructor raised.
    """
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def plain(node: DictConfig, *leave_out: str) -> dict[str, Any]:
    """A node's resolved keys and values as plain Python, without ``leave_out``."""
    values = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key not in leave_out}


def save(config: DictConfig, path: Path) -> None:
    """Write the composed, resolved configuration as YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(OmegaConf.to_yaml(config, resolve=True))


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
