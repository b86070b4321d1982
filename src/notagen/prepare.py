"""``python -m notagen.prepare``: turn scores into a prepared corpus."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from notagen.config import announce, build, command


@command("prepare")
def main(config: DictConfig) -> None:
    """Read the scores of ``corpus`` and write the prepared corpus to ``out``."""
    from notagen.corpus.preparing import prepare

    out = Path(config.out)
    if out.exists() and not config.overwrite:
        print(f"{out} is already prepared; overwrite=true makes it anew")
        return
    sources = build(config.corpus.sources)[: config.limit]
    announce(
        "prepare",
        {
            "corpus": config.corpus.name,
            "scores": len(sources),
            "validation": f"{config.validation_share:.0%} of the pieces, by name",
            "out": out,
        },
    )
    card = prepare(sources, out, config.validation_share, config.processes)
    print(json.dumps(card, indent=2))
    print(f"prepared corpus: {out}")


if __name__ == "__main__":
    main()
