"""``python -m notagen.prepare``: turn scores into a prepared corpus."""

from __future__ import annotations

from omegaconf import DictConfig

from notagen.config import announce, build, command, plain


@command("prepare")
def main(config: DictConfig) -> None:
    """Read the scores of ``corpus`` and write the prepared corpus to ``out``."""
    from notagen.corpus.build import prepare
    from notagen.corpus.card import page
    from notagen.corpus.engines import ENGINES
    from notagen.corpus.reader import Reader
    from notagen.corpus.remote import is_prepared
    from notagen.corpus.selection import Rules
    from notagen.corpus.workers import Limits

    out = str(config.out)
    if is_prepared(out) and not config.overwrite:
        print(f"{out} is already prepared; overwrite=true makes it anew")
        return
    sources = build(config.corpus.sources)[: config.limit]
    terms = {f"terms of {s.piece.split('/')[0]}": s.licence for s in sources if s.licence}
    announce(
        "prepare",
        {
            "corpus": config.corpus.name,
            "files": len(sources),
            **terms,
            "validation": f"{config.rules.validation_fraction:.0%} of the pieces, by name",
            "out": out,
        },
    )
    card = prepare(
        sources,
        out,
        rules=Rules(**plain(config.rules)),
        reader=Reader(largest=int(config.limits.file_mb * 1e6)),
        limits=Limits(config.limits.seconds, int(config.limits.memory_gb * 1e9)),
        processes=config.processes,
        engine=ENGINES[config.engine],
    )
    print(
        f"{sum(card['pieces'].values()):,} pieces in {out}: train on them with "
        f"`python -m notagen.train corpus.prepared={out}`\n"
    )
    print(page(config.corpus.name, card))
    for split in ("train", "validation"):
        if split not in card["pieces"]:
            print(
                f"no piece came into the {split} split, without which nothing can be trained; "
                "change rules.validation_fraction and give overwrite=true"
            )


if __name__ == "__main__":
    main()
