"""Prompts: period, composer and instrumentation, and the prompts known to a set of weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from notagen.atomic import write
from notagen.errors import UserError

_FILE = "prompts.json"


class Prompt(NamedTuple):
    """Period, composer as ``Last, First``, and instrumentation."""

    period: str
    composer: str
    instrumentation: str

    def __str__(self) -> str:
        """The three comment lines that open a piece."""
        return f"%{self.period}\n%{self.composer}\n%{self.instrumentation}\n"


def save_known(prompts: Iterable[Prompt], weights: Path) -> None:
    """Write the training prompts of weights to ``prompts.json`` in their folder."""
    write(weights / _FILE, json.dumps(sorted(set(prompts)), indent=1) + "\n")


def copy_known(source: Path, weights: Path) -> None:
    """Copy ``prompts.json`` from the folder ``source``, if it has one."""
    if (source / _FILE).is_file():
        shutil.copyfile(source / _FILE, weights / _FILE)


def known_prompts(weights: Path) -> list[Prompt] | None:
    """Training prompts of weights; None without a ``prompts.json``, as for published weights."""
    path = weights / _FILE
    if not path.is_file():
        return None
    return [Prompt(*labels) for labels in json.loads(path.read_text())]


def check_known(prompt: Prompt | None, weights: Path) -> None:
    """Refuse a prompt that weights were not trained with; published weights take any prompt.

    Raises:
        UserError: the weights know no prompts, need one, or do not know this one.
    """
    known = known_prompts(weights)
    if known is None:
        return
    if prompt is None:
        if known:
            raise UserError(
                f"{weights} was trained with prompts; give prompt.period, prompt.composer and "
                f"prompt.instrumentation, for example {_example(known[0])}"
            )
    elif not known:
        raise UserError(f"{weights} was trained without prompts; leave out prompt.*")
    elif prompt not in known:
        raise UserError(_unknown(prompt, known))


def _unknown(prompt: Prompt, known: list[Prompt]) -> str:
    for field, label in prompt._asdict().items():
        choices = sorted({getattr(other, field) for other in known})
        if label not in choices:
            return f'{field} "{label}" is unknown to these weights; choose from {_list(choices)}'
    alternatives = [str(list(other)) for other in known if other.composer == prompt.composer]
    return f"{list(prompt)} was never trained together; choose from {_list(alternatives)}"


def _list(choices: list[str]) -> str:
    return "; ".join(choices[:20]) + ("; ..." if len(choices) > 20 else "")


def _example(prompt: Prompt) -> str:
    return (
        f"prompt.period={prompt.period} 'prompt.composer=\"{prompt.composer}\"' "
        f"prompt.instrumentation={prompt.instrumentation}"
    )
