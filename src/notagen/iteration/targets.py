"""What a policy is asked for, and the real pieces that its answers are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from notagen.data import storage
from notagen.data.pieces import prompt_of
from notagen.errors import UserError


class Target(NamedTuple):
    """One prompt.

    Attributes:
        name: its labels, separated by commas; empty for a policy without prompts.
        prompt: the text that a piece goes on from.
        real: fine-tuning pieces of this prompt, interleaved ABC.
    """

    name: str
    prompt: str
    real: list[str]


def targets(corpus: Path, select: str | None, fewest: int, *, prompted: bool) -> list[Target]:
    """The prompts of a corpus that have at least ``fewest`` real pieces to be compared with.

    Args:
        corpus: a prepared one.
        select: which of its pieces, as an expression over its columns; None for all.
        fewest: real pieces a prompt must have.
        prompted: whether the policy takes prompts; otherwise there is one target, of all pieces.

    Raises:
        UserError: there is none.
    """
    found: dict[str, Target] = {}
    for row in storage.read(corpus, "train", select):
        prompt = prompt_of(row) if prompted else ()
        text = str(prompt) if prompt else ""
        target = found.setdefault(text, Target(", ".join(prompt), text, []))
        target.real.append(row["text"])
    enough = [target for _, target in sorted(found.items()) if len(target.real) >= fewest]
    if not enough:
        raise UserError(
            f"no prompt has {fewest} pieces in {corpus} to compare with; widen stage.data.select "
            "or lower stage.samples.fewest_real"
        )
    return enough
