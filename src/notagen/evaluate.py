"""``python -m notagen.evaluate``: how well weights know pieces they were not trained on."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from notagen import processor
from notagen.config import announce, command


@command("evaluate")
def main(config: DictConfig) -> None:
    """Print bits per character on the validation pieces, beside a model of character counts."""
    processor.settle()

    import torch
    from rich.progress import track

    from notagen import weights
    from notagen.baseline import CharacterModel
    from notagen.batch import pack
    from notagen.data import storage
    from notagen.data.pieces import fixed_pieces
    from notagen.metrics import BitsPerCharacter
    from notagen.patches import decode

    model = weights.load(config.weights)
    length = model.config.patch_length
    train = storage.read(Path(config.corpus.prepared), "train")
    held_out = fixed_pieces(storage.read(Path(config.corpus.prepared), "validation"), length)
    announce(
        "evaluate",
        {"weights": config.weights, "corpus": config.corpus.prepared, "pieces": len(held_out)},
    )
    bits = BitsPerCharacter()
    with torch.inference_mode():
        for piece in track(held_out, "reading held-out pieces"):
            batch = pack([piece])
            bits.update(model(batch.patches, batch.lengths), batch.patches)
    counts = CharacterModel(config.order).fit(map(decode, fixed_pieces(train, length)))
    result = {
        "bits_per_character": round(float(bits.compute()), 4),
        f"order_{config.order}_bits_per_character": round(
            counts.bits_per_character(map(decode, held_out)), 4
        ),
        "pieces": len(held_out),
        "characters": int(bits.characters),
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    if config.out is not None:
        Path(config.out).write_text(json.dumps({"weights": config.weights, **result}) + "\n")


if __name__ == "__main__":
    main()
