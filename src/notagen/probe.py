"""``python -m notagen.probe``: what a music encoder can tell apart."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from notagen.config import announce, build, command
from notagen.training import cpu


@command("probe")
def main(config: DictConfig) -> None:
    """Print how well labels can be read off an encoder's features, and how it takes corruption."""
    cpu.configure()

    from notagen import reward
    from notagen.data import storage
    from notagen.reward.probes import LabelProbe, OrderProbe, label_probe, order_probe

    corpus = Path(config.corpus.prepared)
    train, validation = (storage.read(corpus, split) for split in ("train", "validation"))
    announce(
        "probe",
        {
            "encoder": config.reward.name,
            "corpus": corpus,
            "pieces": f"{len(train)} to fit, {len(validation)} to score",
        },
    )
    encoder = reward.Features(build(config.reward), config.cache)
    labels = [
        label_probe(encoder, train, validation, column, config.max_per_label)
        for column in config.columns
    ]
    orders = order_probe(
        encoder, train, validation, config.min_real, config.max_per_label, config.seed
    )
    probes: list[LabelProbe | OrderProbe] = [*labels, *orders]
    for probe in probes:
        print(probe)
    if config.out is not None:
        result = [probe._asdict() for probe in probes]
        out = Path(config.out)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
