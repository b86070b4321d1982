"""``python -m notagen.evaluate``: how well weights know pieces they were not trained on."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from notagen.config import announce, command
from notagen.errors import UserError
from notagen.training import cpu


@command("evaluate")
def main(config: DictConfig) -> None:
    """Print bits per character on the validation pieces, beside a model of character counts."""
    if config.ngram_order < 0:
        raise UserError(
            f"ngram_order={config.ngram_order} is no number of characters; choose 0 or more"
        )
    out = None if config.out is None else Path(config.out)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    cpu.configure()

    from rich.progress import track

    from notagen.data import storage
    from notagen.data.pieces import validation_pieces
    from notagen.metrics.bits import likelihood
    from notagen.metrics.ngram import CharacterModel
    from notagen.model import weights
    from notagen.patches import Patches, decode

    model = weights.load(config.weights)

    def pieces(split: str) -> list[Patches]:
        rows = storage.read(Path(config.corpus.prepared), split, config.where)
        return validation_pieces(rows, model.config.patch_length, config.prompts)

    held_out = pieces("validation")
    if not held_out:
        raise UserError(f"{config.corpus.prepared} has no validation pieces like that; widen where")
    announce(
        "evaluate",
        {
            "weights": config.weights,
            "corpus": config.corpus.prepared,
            "pieces": f"{len(held_out)}, {'with' if config.prompts else 'without'} prompts",
        },
    )
    found = likelihood(model, track(held_out, "reading held-out pieces"))
    counts = CharacterModel(config.ngram_order).fit(map(decode, pieces("train")))
    result = {
        "bits_per_character": round(found.bits_per_character, 4),
        "loss": round(found.loss, 4),
        f"order_{config.ngram_order}_bits_per_character": round(
            counts.bits_per_character(map(decode, held_out)), 4
        ),
        "pieces": len(held_out),
        "characters": found.characters,
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    if out is not None:
        out.write_text(json.dumps({"weights": config.weights, **result}) + "\n")


if __name__ == "__main__":
    main()
