"""``python -m notagen.select``: the pieces of a corpus that sound most like some of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from notagen.config import announce, command
from notagen.errors import UserError
from notagen.training import cpu

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

    from notagen.reward import MusicEncoder

_AT_ONCE = 64  # pieces between two steps of the progress bar


@command("select")
def main(config: DictConfig) -> None:
    """Write a corpus of the ``fraction`` whose features are nearest to the mean of ``like``'s."""
    if isinstance(config.fraction, str) or not 0 < config.fraction <= 1:
        raise UserError(
            f"fraction={config.fraction} is not a fraction; choose one above 0 and up to 1"
        )
    source, out = Path(config.corpus.prepared), Path(config.out)
    if out.resolve() == source.resolve():
        raise UserError(f"{out} is the corpus to choose from; give another folder as out=")
    cpu.configure()

    from notagen import reward
    from notagen.data import storage
    from notagen.reward.similarity import score

    storage.check_writable(out)
    splits = {name: storage.read(source, name) for name in ("train", "validation")}
    reference = storage.select(splits["train"], config.like)
    if len(reference) == 0:
        raise UserError(f"{source} has no training pieces like {config.like!r}; widen like=")
    encoder = reward.load(config.encoder)
    announce(
        "select",
        {
            "corpus": source,
            "like": f"{config.like}: {len(reference)} pieces",
            "fraction": config.fraction,
            "encoder": config.encoder,
            "out": out,
        },
    )
    wanted = _features(encoder, reference)
    chosen = {
        name: rows.select(_nearest(score(_features(encoder, rows), wanted).score, config.fraction))
        for name, rows in splits.items()
    }
    pieces = {name: len(rows) for name, rows in chosen.items()}
    made_with = {key: config[key] for key in ("encoder", "like", "fraction")}
    card = {"pieces": pieces, "made_with": {"corpus": str(source), **made_with}}
    storage.write(out, chosen, [], card)
    print(f"pieces: {pieces}\nprepared corpus: {out}")


def _features(encoder: MusicEncoder, rows: Dataset) -> Tensor:
    """Features of pieces, [pieces, features]."""
    import torch
    from rich.progress import track

    texts = rows["text"]
    starts = range(0, len(rows), _AT_ONCE)
    return torch.cat(
        [encoder.encode(texts[at : at + _AT_ONCE]) for at in track(starts, "listening to pieces")]
    )


def _nearest(scores: Tensor, fraction: float) -> list[int]:
    """Indices of the highest scores, in the order of the corpus; at least one."""
    count = max(1, round(fraction * len(scores)))
    return sorted(scores.topk(count).indices.tolist())


if __name__ == "__main__":
    main()
