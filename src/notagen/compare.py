"""``python -m notagen.compare``: what each stage of a run has gained on what it was trained for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from notagen.config import announce, command, listed, saved
from notagen.errors import UserError
from notagen.training import cpu

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
    cpu.configure()

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
    from notagen.data import storage
    from notagen.data.pieces import validation_pieces
    from notagen.metrics.bits import likelihood
    from notagen.model import weights
    from notagen.stages.finetune import FinetuneData
    from notagen.stages.posttrain import PosttrainData
    from notagen.stages.pretrain import PretrainData

    config = saved(folder / "config.yaml")
    try:
        data = config["stage"]["data"]
        stage = {"pretrain": PretrainData, "posttrain": PosttrainData, "finetune": FinetuneData}
        prompted = stage[config["stage"]["name"]].prompted
        rows = storage.read(Path(data["path"]), "validation", data["where"])
        pieces = validation_pieces(rows, data["patch_length"], prompted)
        start = _start(folder.parent, config)
        target = f"{config['corpus']['name']}: {data['where'] or 'all'}"
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{folder / 'config.yaml'} is not what training wrote there ({error!r}); train the "
            "stage again, or leave it out of stages="
        ) from error
    models = {"before": start, "after": weights.load(str(folder / "model"))}
    measured = {name: likelihood(model, pieces) for name, model in models.items()}
    return {
        "stage": folder.name,
        "target": target + (", with prompts" if prompted else ""),
        "pieces": len(pieces),
        "characters": measured["after"].characters,
        **{
            name: {measure: round(getattr(found, measure), 4) for measure in _MEASURES}
            for name, found in measured.items()
        },
    }


def _start(run: Path, config: Mapping[str, Any]) -> NotaGen:
    """The weights that a stage went on from: another's, or random ones."""
    import torch

    from notagen.model import ModelConfig, NotaGen, weights

    earlier = (run / name / "model" for name in config["stage"]["starts_from"])
    source = config["init_from"] or next((path for path in earlier if path.is_dir()), None)
    if source is not None:
        return weights.load(str(source))
    torch.manual_seed(config["seed"])
    sizes = {name: value for name, value in config["model"].items() if name != "name"}
    return NotaGen(ModelConfig(**sizes)).eval()


if __name__ == "__main__":
    main()
