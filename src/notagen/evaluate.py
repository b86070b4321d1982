"""``python -m notagen.evaluate``: bits per character of weights on pieces not trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from notagen.atomic import check_new, check_writable, locked, write
from notagen.config import announce, build, command, listed, quiet, saved
from notagen.errors import UserError
from notagen.training import cpu


@command("evaluate")
def main(config: DictConfig) -> None:
    """Print bits per character on validation pieces, of weights or of each stage of a run."""
    out = None if config.out is None else Path(config.out)
    names = [str(name) for name in listed(config.weights)]
    cpu.configure()
    if "reward" in config:
        _score_samples(names, config)
        return
    if out is not None:
        check_new(out)
    results = [
        _evaluate_run(Path(name), listed(config.stages))
        if _is_run(Path(name))
        else _evaluate_weights(name, config)
        for name in names
    ]
    if out is not None:
        _write(results[0] if len(results) == 1 else results, out)


def _write(figures: Any, path: Path) -> None:
    write(path, json.dumps(figures, indent=2) + "\n")


def _score_samples(names: list[str], config: DictConfig) -> None:
    """Sample pieces from the weights, score them by ``reward=``, and report in ``out``."""
    if len(names) != 1 or config.out is None:
        raise UserError("reward= scores the samples of one weights=, in a folder given as out=")
    out = Path(config.out)
    if not (out / "settings.json").is_file() and not (out / "samples").is_dir():
        check_new(out)  # an iteration that was begun is continued, nothing else is written over

    import lightning as L

    from notagen.dpo.iteration import Iteration
    from notagen.model import weights

    quiet()
    [name] = names
    iteration = Iteration(
        folder=str(config.out),
        number=config.iteration,
        policy=name,
        corpus=config.corpus.prepared,
        where=config.where,
        encoder=build(config.reward),
        judge=config.judge,
        sampling=build(config.sampling),
        samples=build(config.samples),
        preferences=build(config.preferences),
        bounds=build(config.bounds),
        seed=config.seed,
    )
    announce(
        "evaluate",
        {
            "weights": name,
            "reward": config.reward.get("name", config.reward._target_),
            "out": config.out,
        },
    )
    trainer = L.Trainer(devices=1, logger=False, enable_checkpointing=False)
    with locked(out):
        iteration.measure(weights.load(name), trainer)
    table, _, _ = (iteration.out / "report.md").read_text().partition("\n\n")
    print(f"{table}\nreport: {iteration.out / 'report.md'}")


def _is_run(path: Path) -> bool:
    """True if a name is the folder of a run: neither weights in a folder nor a sharded .ckpt."""
    return path.is_dir() and path.suffix != ".ckpt" and not (path / "config.json").is_file()


def _evaluate_weights(name: str, config: DictConfig) -> dict[str, Any]:
    announce(
        "evaluate",
        {
            "weights": name,
            "corpus": config.corpus.prepared,
            "pieces": f"of validation, {'with' if config.prompts else 'without'} prompts",
        },
    )

    # Seconds of imports, which the plan need not wait for.
    from notagen.metrics.evaluation import evaluate, read_pieces
    from notagen.model import weights

    model = weights.load(name)
    corpus, length = Path(config.corpus.prepared), model.config.patch_length
    held_out = read_pieces(corpus, "validation", length, config.where, config.prompts)
    if not held_out:
        raise UserError(f"{corpus} has no validation pieces like that; widen where")
    print(f"pieces: {len(held_out)}")
    train = read_pieces(corpus, "train", length, config.where, config.prompts)
    figures = evaluate(model, held_out, train, config.ngram_order)
    for measure, value in figures.items():
        print(f"{measure}: {value}")
    return {"weights": name, **figures}


def _evaluate_run(run: Path, names: list[str]) -> list[dict[str, Any]]:
    """Evaluate each stage and its start on the stage's own pieces; write ``comparison.json``."""
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from notagen.metrics.evaluation import MEASURES, evaluate_stage, find_stages, stage_pieces

    stages = find_stages(run, names)
    path = run / "comparison.json"
    check_writable(path)
    announce("evaluate", {"run": run, "stages": ", ".join(stage.name for stage in stages)})
    settings = [saved(stage / "config.yaml") for stage in stages]
    pieces = [stage_pieces(*each) for each in zip(stages, settings, strict=True)]
    known = list(zip(stages, settings, pieces, strict=True))
    gains = [evaluate_stage(*each) for each in track(known, "reading validation pieces")]
    table = Table("stage", "validation pieces", "number", "loss", "bits per character")
    for gain in gains:
        changes = (f"{gain.before[name]:.3f} -> {gain.after[name]:.3f}" for name in MEASURES)
        table.add_row(gain.stage, gain.target, str(gain.pieces), *changes)
    Console(width=100).print(table)
    figures = [gain._asdict() for gain in gains]
    _write(figures, path)
    print(f"figures: {path}")
    return figures


if __name__ == "__main__":
    main()
