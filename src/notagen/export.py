"""``python -m notagen.export``: weights as a published-format file or as safetensors."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.atomic import check_new
from notagen.config import announce, command
from notagen.prompts import copy_known


@command("export")
def main(config: DictConfig) -> None:
    """Write ``weights`` to ``out``, adapters merged."""
    out = Path(config.out)
    check_new(out)
    announce("export", {"weights": config.weights, "out": out})

    from notagen.model import weights

    model = weights.load(config.weights)
    weights.save(model, out)
    if out.is_dir():
        copy_known(Path(config.weights), out)
    print(f"weights in {out}: {sum(weight.numel() for weight in model.parameters()):,} parameters")


if __name__ == "__main__":
    main()
