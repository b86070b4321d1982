"""Prompts: period, composer and instrumentation, and the prompts known to a set of weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from notagen.atomic import write
from notagen.errors import UserError

_FILE = "prompts.json"
_LISTED = 20  # prompts in a message


class Prompt(NamedTuple):
    """Period, composer as ``Last, First``, and instrumentation."""

    period: str
    composer: str
    instrumentation: str

    def __str__(self) -> str:
        """The three comment lines that open a piece; none of a piece without any label."""
        return (
            "" if not any(self) else f"%{self.period}\n%{self.composer}\n%{self.instrumentation}\n"
        )


def save_known(prompts: Iterable[Prompt], weights: Path) -> None:
    """Write the training prompts of weights to ``prompts.json`` in their folder.

    Pieces without any label are none to ask for.
    """
    labelled = {prompt for prompt in prompts if any(prompt)}
    write(weights / _FILE, json.dumps(sorted(labelled), indent=1) + "\n")


def copy_known(source: Path, weights: Path) -> None:
    """Copy ``prompts.json`` from the folder ``source``, if it has one."""
    if (source / _FILE).is_file():
        shutil.copyfile(source / _FILE, weights / _FILE)


def known_prompts(weights: Path) -> list[Prompt] | None:
    """Training prompts of weights; None without a ``prompts.json``, as for published weights.

    Raises:
        UserError: the file holds something else.
    """
    path = weights / _FILE
    if not path.is_file():
        return None
    try:
        listed = json.loads(path.read_text())
    except ValueError:  # no JSON, or no text
        listed = None
    if not isinstance(listed, list) or not all(map(_is_prompt, listed)):
        raise UserError(
            f"{path} is no list of prompts, [period, composer, instrumentation] each; "
            "copy it again from where these weights were trained"
        )
    return [Prompt(*labels) for labels in listed]


def _is_prompt(labels: object) -> bool:
    return (
        isinstance(labels, list)
        and len(labels) == len(Prompt._fields)
        and all(isinstance(label, str) for label in labels)
    )


def choose(labels: Mapping[str, str], weights: Path) -> Prompt | None:
    """The prompt that weights were trained with and that has these labels, in either case.

    Labels that are left out are completed where only one prompt has the others. Published weights
    take any prompt.

    Args:
        labels: ``period``, ``composer`` and ``instrumentation``, or some of them.
        weights: folder of the weights.

    Raises:
        UserError: the weights know no prompts, or not one with these labels, or several.
    """
    known = known_prompts(weights)
    if known is None:
        missing = ", ".join(f"prompt.{name}" for name in Prompt._fields if name not in labels)
        if labels and missing:
            raise UserError(f"a prompt has three labels; {missing} is missing")
        return Prompt(**labels) if labels else None
    if not known:
        if labels:
            raise UserError(f"{weights} was trained without prompts; leave out prompt.*")
        return None
    if not labels:
        raise UserError(f"{weights} was trained with prompts; give one of them:\n{_lines(known)}")
    fitting = [prompt for prompt in known if _fits(prompt, labels)]
    if len(fitting) == 1:
        return fitting[0]
    wanted = ", ".join(labels.values())
    if fitting:
        raise UserError(f"{wanted} fits several prompts of {weights}; give one:\n{_lines(fitting)}")
    # Those that share most labels come first.
    near = sorted(known, key=lambda prompt: -_in_common(prompt, labels))
    raise UserError(
        f"{weights} was not trained with {wanted}; give one of its prompts:\n{_lines(near)}"
    )


def check_text(text: str, known: Sequence[Prompt]) -> None:
    """Refuse a beginning of a piece whose labels a model was not trained with.

    Args:
        text: beginning of a piece; labels are the comment lines at its start.
        known: the prompts of the model's training, empty if it had none.

    Raises:
        UserError: it has such labels.
    """
    lines = text.splitlines()
    labels = [*takewhile(lambda line: line[:1] == "%" and line[1:2] != "%", lines)]
    named = [line[1:] for line in labels[: len(Prompt._fields)]]
    if named and not known:
        raise UserError("these weights were trained without prompts; leave out the % lines")
    if len(named) == len(Prompt._fields) and Prompt(*named) not in known:
        raise UserError(f"these weights were not trained with {', '.join(named)}")


def _fits(prompt: Prompt, labels: Mapping[str, str]) -> bool:
    return _in_common(prompt, labels) == len(labels)


def _in_common(prompt: Prompt, labels: Mapping[str, str]) -> int:
    known = prompt._asdict()
    return sum(known[name].casefold() == label.casefold() for name, label in labels.items())


def _lines(prompts: Sequence[Prompt]) -> str:
    """A line for each prompt, to be pasted behind a command."""
    listed = [
        " ".join(f"'prompt.{name}=\"{label}\"'" for name, label in prompt._asdict().items())
        for prompt in prompts[:_LISTED]
    ]
    return "\n".join(f"  {line}" for line in listed) + ("\n  ..." if len(prompts) > _LISTED else "")
