"""``python -m notagen.select``: the pieces of a corpus that sound most like reference pieces."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.atomic import check_new
from notagen.config import announce, command
from notagen.errors import UserError
from notagen.training import cpu


@command("select")
def main(config: DictConfig) -> None:
    """Write a corpus of the ``fraction`` whose features are nearest to the mean of ``like``'s."""
    source, out = Path(config.corpus.prepared), Path(config.out)
    if out.resolve() == source.resolve():
        raise UserError(f"{out} is the corpus to choose from; give another folder as out=")
    check_new(out)
    cpu.configure()

    from notagen import reward
    from notagen.data import storage
    from notagen.reward.nearest import nearest

    splits = {name: storage.read(source, name) for name in ("train", "validation")}
    reference = storage.select(splits["train"], config.like)
    if len(reference) == 0:
        raise UserError(f"{source} has no training pieces like {config.like!r}; widen like=")
    if empty := [name for name, rows in splits.items() if len(rows) == 0]:
        raise UserError(f"the {empty[0]} split of {source} has no pieces to select from")
    encoder = reward.load(config.encoder)
    reward.check(f"encoder={config.encoder}", encoder, reference["text"][0])
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
    selected = nearest(encoder, splits, reference, config.fraction)
    pieces = {name: len(rows) for name, rows in selected.items()}
    made_with = {key: config[key] for key in ("encoder", "like", "fraction")}
    card = {"pieces": pieces, "made_with": {"corpus": str(source), **made_with}}
    storage.write(out, selected, [], card)
    print(f"{sum(pieces.values())} pieces in {out} ({pieces}): train with corpus.prepared={out}")


if __name__ == "__main__":
    main()
