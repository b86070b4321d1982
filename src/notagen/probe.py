"""``python -m notagen.probe``: probes of a music encoder."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from notagen.atomic import write
from notagen.config import announce, build, command
from notagen.training import cpu


@command("probe")
def main(config: DictConfig) -> None:
    """Print how well an encoder's features predict labels, and tell real music from corrupted."""
    cpu.configure()

    from notagen import reward
    from notagen.data import storage
    from notagen.reward.probes import probe

    corpus = Path(config.corpus.prepared)
    train, validation = (storage.read(corpus, split) for split in ("train", "validation"))
    announce(
        "probe",
        {
            "encoder": config.reward.get("name", config.reward._target_),
            "corpus": corpus,
            "pieces": f"{len(train)} to fit, {len(validation)} to score",
        },
    )
    encoder = reward.Features(build(config.reward), config.cache)
    settings = (config.columns, config.min_real, config.max_per_label, config.seed)
    probes = probe(encoder, train, validation, *settings)
    for result in probes:
        print(result)
    if config.out is not None:
        found = [result._asdict() for result in probes]
        write(Path(config.out), json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
