"""``python -m notagen.probe``: probes of a music encoder."""

from __future__ import annotations

import json
from pathlib import Path

from omegaconf import DictConfig

from notagen.atomic import check_new, write
from notagen.config import announce, build, command, listed
from notagen.training import cpu


@command("probe")
def main(config: DictConfig) -> None:
    """Print how well an encoder's features predict labels, and tell real music from corrupted."""
    out = None if config.out is None else Path(config.out)
    if out is not None:
        check_new(out)
    cpu.configure()

    from notagen import reward
    from notagen.data import storage
    from notagen.reward.probes import check_labels, probe

    corpus = Path(config.corpus.prepared)
    train, validation = (storage.read(corpus, split) for split in ("train", "validation"))
    columns = listed(config.columns)
    check_labels(train, validation, columns)
    encoder = build(config.reward)
    name = config.reward.get("name", config.reward._target_)
    reward.check(f"reward {name}", encoder, train["text"][0])
    announce(
        "probe",
        {
            "encoder": name,
            "corpus": corpus,
            "pieces": f"{len(train)} to fit, {len(validation)} to score",
        },
    )
    settings = (columns, config.min_real, config.max_per_label, config.seed)
    probes = probe(reward.Features(encoder, config.cache), train, validation, *settings)
    for result in probes:
        print(result)
    if out is not None:
        found = [result._asdict() for result in probes]
        write(out, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
