"""Evaluation of weights on held-out pieces, and of each stage of a run against its start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from rich.progress import track

from notagen.data import storage
from notagen.data.pieces import validation_pieces
from notagen.errors import UserError
from notagen.metrics.bits import Likelihood, likelihood
from notagen.metrics.ngram import CharacterModel
from notagen.model import ModelConfig, NotaGen, weights
from notagen.patches import Patches, decode
from notagen.prompts import known_prompts

MEASURES: Final = ("loss", "bits_per_character")


class StageGain(NamedTuple):
    """Loss and bits per character of a stage's validation pieces, before and after it.

    Attributes:
        stage: its name.
        target: the pieces it was trained for: corpus, expression, prompts.
        pieces: number of validation pieces.
        characters: of all these pieces.
        before: by the weights that the stage started from.
        after: by the weights that it left.
    """

    stage: str
    target: str
    pieces: int
    characters: int
    before: dict[str, float]
    after: dict[str, float]


def read_pieces(
    corpus: Path, split: str, patch_length: int, where: str | None = None, prompts: bool = False
) -> list[Patches]:
    """Pieces of a prepared corpus in their original keys, cut to a model's context.

    Args:
        corpus: a prepared corpus.
        split: one of its splits.
        patch_length: the model's context, in patches.
        where: which pieces, as an expression over the columns of the corpus; None for all.
        prompts: whether pieces begin with their labels.

    Raises:
        UserError: there is no such corpus or split, or ``where`` cannot be evaluated.
    """
    return validation_pieces(storage.read(corpus, split, where), patch_length, prompts)


def evaluate(
    model: NotaGen, held_out: Sequence[Patches], train: Iterable[Patches], ngram_order: int
) -> dict[str, float]:
    """Loss and bits per character of held-out pieces, beside those of a character model.

    Args:
        model: weights in evaluation mode.
        held_out: pieces [n_i, 16] that the model was not trained on.
        train: pieces to fit the character model to.
        ngram_order: its context in characters.

    Raises:
        UserError: the loss is not finite.
    """
    found = likelihood(model, track(held_out, "reading held-out pieces"))
    _check_finite(found, "these weights", len(held_out))
    counts = CharacterModel(ngram_order).fit(map(decode, train))
    count_bits = counts.bits_per_character(map(decode, held_out))
    return {
        "bits_per_character": round(found.bits_per_character, 4),
        "loss": round(found.loss, 4),
        f"order_{ngram_order}_bits_per_character": round(count_bits, 4),
        "pieces": len(held_out),
        "characters": found.characters,
    }


def find_stages(run: Path, names: Sequence[str]) -> list[Path]:
    """Folders of the stages of a run that have been trained, in the order of ``names``.

    Raises:
        UserError: there is none.
    """
    stages = [run / name for name in names if (run / name / "model").is_dir()]
    if not stages:
        raise UserError(f"{run} holds none of {', '.join(names)}; train them first")
    return stages


class StagePieces(NamedTuple):
    """Validation pieces of a stage, and what it was trained for: corpus, expression, prompts."""

    pieces: list[Patches]
    target: str


def stage_pieces(stage: Path, settings: Mapping[str, Any]) -> StagePieces:
    """Read the validation pieces of a stage.

    Args:
        stage: its folder in the run's folder, with the weights in ``model/``.
        settings: the configuration it was trained with, as plain values.

    Raises:
        UserError: the settings lack something, there is no such corpus, or it has no such piece.
    """
    prompted = bool(known_prompts(stage / "model"))
    with _needing(stage):
        data = settings["stage"]["data"]
        rows = storage.read(Path(data["path"]), "validation", data["where"])
        pieces = validation_pieces(rows, data["patch_length"], prompted)
        target = f"{settings['corpus']['name']}: {data['where'] or 'all'}"
    if not pieces:
        raise UserError(
            f"{stage.name} has no validation pieces ({target}); leave it out of stages="
        )
    return StagePieces(pieces, target + (", with prompts" if prompted else ""))


def evaluate_stage(stage: Path, settings: Mapping[str, Any], own: StagePieces) -> StageGain:
    """Evaluate a stage and the weights it started from on the stage's own validation pieces.

    Args:
        stage, settings: as for :func:`stage_pieces`.
        own: what that gave.

    Raises:
        UserError: the settings lack something, or a loss is not finite.
    """
    pieces = own.pieces
    with _needing(stage):
        start = _start(stage.parent, settings)
    before = likelihood(start, pieces)
    _check_finite(before, f"the weights before {stage.name}", len(pieces))
    after = likelihood(weights.load(str(stage / "model")), pieces)
    _check_finite(after, str(stage / "model"), len(pieces))
    return StageGain(
        stage=stage.name,
        target=own.target,
        pieces=len(pieces),
        characters=after.characters,
        before=_rounded(before),
        after=_rounded(after),
    )


@contextmanager
def _needing(stage: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{stage / 'config.yaml'} is not what training wrote there ({error!r}); train the "
            "stage again, or leave it out of stages="
        ) from error


def _start(run: Path, settings: Mapping[str, Any]) -> NotaGen:
    """The weights that a stage started from: another stage's, given ones, or random ones."""
    earlier = (run / name / "model" for name in settings["stage"]["starts_from"])
    source = settings["init_from"] or next((path for path in earlier if path.is_dir()), None)
    if source is not None:
        return weights.load(str(source))
    torch.manual_seed(settings["seed"])  # as before training: the same random weights
    sizes = {field.name for field in fields(ModelConfig)} & settings["model"].keys()
    return NotaGen(ModelConfig(**{name: settings["model"][name] for name in sizes})).eval()


def _check_finite(found: Likelihood, whose: str, pieces: int) -> None:
    if not math.isfinite(found.loss):
        raise UserError(
            f"the loss of {whose} on {pieces} pieces is {found.loss}: the weights are damaged, or "
            "training them has diverged"
        )


def _rounded(found: Likelihood) -> dict[str, float]:
    return {measure: round(getattr(found, measure), 4) for measure in MEASURES}
