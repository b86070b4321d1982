"""``python -m notagen.prepare``: turn scores into a prepared corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from notagen.config import announce, build, command, plain


@command("prepare")
def main(config: DictConfig) -> None:
    """Read the scores of ``corpus`` and write the prepared corpus to ``out``."""
    from notagen.corpus import engines
    from notagen.corpus.build import check_same, prepare
    from notagen.corpus.card import page
    from notagen.corpus.formats import is_score
    from notagen.corpus.provenance import provenance
    from notagen.corpus.reader import Reader
    from notagen.corpus.remote import check_writable, is_prepared
    from notagen.corpus.selection import Rules
    from notagen.corpus.workers import Limits

    out = str(config.out)
    engine = engines.engine(config.engine)
    rules = Rules(**plain(config.rules))
    reader = Reader(largest=int(config.limits.file_mb * 1e6))
    limits = Limits(config.limits.seconds, int(config.limits.memory_gb * 1e9))
    sources = build(config.corpus.sources)[: config.limit]
    origin = _origin(config.corpus)
    if is_prepared(out) and not config.overwrite:
        check_same(out, provenance(sources, rules, reader, limits, origin))
        print(f"{out} is already prepared; overwrite=true makes it anew")
        return
    check_writable(out)
    scores = sum(is_score(source.piece) for source in sources)
    terms = {f"terms of {s.piece.split('/')[0]}": s.licence for s in sources if s.licence}
    announce(
        "prepare",
        {
            "corpus": config.corpus.name,
            "scores": scores,
            **({"other files": len(sources) - scores} if scores < len(sources) else {}),
            **terms,
            "validation": f"{rules.validation_fraction:.0%} of the pieces, by name",
            "out": out,
        },
    )
    card = prepare(sources, out, rules, reader, limits, config.processes, engine, origin)
    print(
        f"{sum(card['pieces'].values()):,} pieces in {out}: train on them with "
        f"`python -m notagen.train corpus.prepared={out}`\n"
    )
    print(page(config.corpus.name, card))


def _origin(corpus: DictConfig) -> dict[str, Any]:
    """Origin of a corpus: its name, and its folder, wherever the command is given."""
    keys = plain(corpus.sources, "_target_", "labels")  # which labels is told by themselves
    if "path" in keys and "://" not in str(keys["path"]):
        keys["path"] = str(Path(keys["path"]).resolve())
    return {"corpus": corpus.name, **keys}


if __name__ == "__main__":
    main()
