"""Rollout: prompts of a corpus, and the pieces that a policy writes for them, on disk."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from notagen.atomic import open_lines, replacing, whole_lines
from notagen.data import storage
from notagen.data.pieces import prompt_of
from notagen.errors import UserError
from notagen.generation import FinishReason, Sampling, generate
from notagen.model import NotaGen
from notagen.prompts import Prompt


class PromptGroup(NamedTuple):
    """One prompt.

    Attributes:
        name: its labels, separated by commas; empty for a policy without prompts.
        prompt: the text that a piece begins with.
        real: fine-tuning pieces of this prompt, interleaved ABC.
    """

    name: str
    prompt: str
    real: list[str]


def prompt_groups(
    corpus: Path, where: str | None, min_real: int, known: Collection[Prompt] | None
) -> list[PromptGroup]:
    """The prompts of a corpus that a policy knows and that have enough real pieces.

    Args:
        corpus: a prepared one.
        where: which of its pieces, as an expression over its columns; None for all.
        min_real: real pieces a prompt must have, to be compared with.
        known: prompts that the policy was trained with; None for any, and if there are none, all
            pieces are one group.

    Raises:
        UserError: there is none.
    """
    found: dict[str, PromptGroup] = {}
    for row in storage.read(corpus, "train", where):
        prompt = () if known is not None and not known else prompt_of(row)
        if prompt and known is not None and prompt not in known:
            continue
        text = str(prompt) if prompt else ""
        group = found.setdefault(text, PromptGroup(", ".join(prompt), text, []))
        group.real.append(row["text"])
    enough = [group for _, group in sorted(found.items()) if len(group.real) >= min_real]
    if not enough:
        whose = f"none of the {len(known)} prompts that the policy knows" if known else "no prompt"
        raise UserError(
            f"{whose} has {min_real} pieces in {corpus} to compare with; widen where, lower "
            "min_real, or give the corpus of its fine-tuning"
        )
    return enough


class Sample(NamedTuple):
    """A piece written by a policy.

    Attributes:
        number: of the piece in its iteration; with the seed, it determines all draws.
        prompt: name of its prompt, see :class:`PromptGroup`.
        text: interleaved ABC with prompt and stream marks, rests left out.
        complete: whether the model ended it.
        misaligned_first_draft: bars whose voices did not agree at first.
    """

    number: int
    prompt: str
    text: str
    complete: bool
    misaligned_first_draft: int


class SampleJournal:
    """File of the pieces of one rank, one line each.

    A last line that a killed run left unfinished is cut off, and its piece written again.
    """

    def __init__(self, path: Path) -> None:
        self.file = open_lines(path)

    def add(self, sample: Sample) -> None:
        """Append a piece."""
        self.file.write(json.dumps(sample).encode() + b"\n")
        self.file.flush()


def read_samples(folder: Path) -> list[Sample]:
    """All pieces that any rank has finished, by number; lines that hold none are passed over."""
    lines = (line for path in sorted(folder.glob("*.jsonl")) for line in whole_lines(path))
    found = (sample for line in lines if (sample := _sample(line)))
    return [sample for _, sample in sorted({sample.number: sample for sample in found}.items())]


def drop_damaged(folder: Path, prompts: Sequence[PromptGroup]) -> None:
    """Take lines that hold no piece of this iteration out of its files, and say how many.

    Args:
        folder: of the files.
        prompts: the prompt of each piece of the iteration.
    """
    names = dict(enumerate(group.name for group in prompts))
    for path in sorted(folder.glob("*.jsonl")):
        lines = list(whole_lines(path))
        intact = [
            line
            for line in lines
            if (sample := _sample(line)) and names.get(sample.number) == sample.prompt
        ]
        if damaged := len(lines) - len(intact):
            with replacing(path) as unfinished:
                unfinished.write_bytes(b"".join(intact))
            print(f"{path}: {damaged} damaged pieces, which are written again", flush=True)


def _sample(line: bytes) -> Sample | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    kinds = [int, str, str, bool, int]
    return Sample(*values) if isinstance(values, list) and [*map(type, values)] == kinds else None


def write_share(
    model: NotaGen,
    prompts: Sequence[PromptGroup],
    done: Collection[int],
    journal: SampleJournal,
    sampling: Sampling,
    seed: int,
    batch_size: int,
    max_patches: int,
    rank: int,
    ranks: int,
) -> Iterator[Sample]:
    """Write the missing pieces of one rank's share; yield each once it is on disk.

    The pieces do not depend on ranks, batch size, or where an earlier run stopped, but for draws
    that the last bits of a product decide; see :func:`notagen.generation.generate`.

    Args:
        model: the policy.
        prompts: the prompt of each piece of the iteration.
        done: numbers of the pieces on disk.
        journal: file for the others.
        sampling, seed, batch_size, max_patches: as in :func:`generate`.
        rank: of this process.
        ranks: number of processes.
    """
    missing = [number for number in range(len(prompts)) if number not in done][rank::ranks]
    written = generate(
        model,
        [prompts[number].prompt for number in missing],
        sampling,
        seed,
        batch_size,
        max_patches,
        numbers=missing,
    )
    for piece in written:
        sample = Sample(
            number=piece.index,
            prompt=prompts[piece.index].name,
            text=piece.text,
            complete=piece.finish_reason is FinishReason.COMPLETE,
            misaligned_first_draft=piece.stats.misaligned_first_draft,
        )
        journal.add(sample)
        yield sample
