"""``python -m notagen.compare``: what each stage of a run has gained on what it was trained for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from notagen import processor
from notagen.config import announce, build, command, listed, plain
from notagen.errors import UserError

if TYPE_CHECKING:
    from notagen.model import NotaGen


@command("compare")
def main(config: DictConfig) -> None:
    """Print loss and bits on each stage's own validation pieces, before and after it."""
    run = Path(config.run)
    names = listed(config.stages)
    stages = [run / name for name in names if (run / name / "model").is_dir()]
    if not stages:
        raise UserError(f"{run} holds none of {', '.join(names)}; train them first")
    processor.settle()

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    announce("compare", {"run": run, "stages": ", ".join(stage.name for stage in stages)})
    figures = [_figures(stage) for stage in track(stages, "reading validation pieces")]
    table = Table("stage", "validation pieces", "number", "loss", "bits per character")
    for row in figures:
        changes = (f"{row['before'][name]:.3f} -> {row['after'][name]:.3f}" for name in _MEASURES)
        table.add_row(row["stage"], row["target"], str(row["pieces"]), *changes)
    Console(width=100).print(table)
    path = run / "comparison.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"figures: {path}")


_MEASURES = ("loss", "bits_per_character")


def _figures(folder: Path) -> dict[str, Any]:
    """What the stage in ``folder`` was trained for, and how well it and its start know that."""
    from notagen import weights
    from notagen.likelihood import likelihood

    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    data = build(config.stage.data)
    pieces = data.held_out()
    models = {"before": _start(folder.parent, config), "after": weights.load(str(folder / "model"))}
    measured = {name: likelihood(model, pieces) for name, model in models.items()}
    return {
        "stage": folder.name,
        "target": _target(config, data.prompted),
        "pieces": len(pieces),
        "characters": measured["after"].characters,
        **{
            name: {measure: round(getattr(found, measure), 4) for measure in _MEASURES}
            for name, found in measured.items()
        },
    }


def _start(run: Path, config: DictConfig) -> NotaGen:
    """The weights that a stage went on from: another's, or random ones."""
    import torch

    from notagen import weights
    from notagen.model import ModelConfig, NotaGen

    earlier = (run / name / "model" for name in config.stage.follows)
    source = config.init_from or next((path for path in earlier if path.is_dir()), None)
    if source is not None:
        return weights.load(str(source))
    torch.manual_seed(config.seed)
    return NotaGen(ModelConfig(**plain(config.model, "name"))).eval()


def _target(config: DictConfig, prompted: bool) -> str:
    chosen = config.stage.data.select or "all"
    return f"{config.corpus.name}: {chosen}" + (", with prompts" if prompted else "")


if __name__ == "__main__":
    main()
