"""``python -m notagen.train``: run one stage of training."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from omegaconf import DictConfig

from notagen import processor
from notagen.config import announce, build, command, plain, quiet, save
from notagen.errors import UserError


@command("train")
def main(config: DictConfig) -> None:
    """Train ``stage`` and write the weights that did best in validation."""
    out = Path(config.out)
    last = _checkpoint_to_resume(out, config.resume)
    processor.settle()

    import lightning as L

    from notagen import weights
    from notagen.model import ModelConfig, NotaGen
    from notagen.prompt import save_known

    quiet()
    L.seed_everything(config.seed, verbose=False)
    model = NotaGen(ModelConfig(**plain(config.model, "name")))
    source = last or config.init_from or _predecessor(out.parent, config.stage)
    if last is None and source is not None:
        weights.load_into(model, str(source))
    parameters = sum(weight.numel() for weight in model.parameters())
    data = build(config.stage.data)
    stage = build(
        config.stage.module,
        model=model,
        optimizer=build(config.optimizer),
        schedule=build(config.schedule),
    )
    trainer = build(
        config.trainer,
        logger=[build(logger) for logger in config.logger.values()],
        callbacks=[build(callback) for callback in config.callbacks.values()],
    )
    announce(
        "train",
        {
            "stage": config.stage.name,
            "model": f"{config.model.name}, {parameters:,} parameters",
            "corpus": config.stage.data.path,
            "steps": config.trainer.max_steps,
            "devices": f"{trainer.num_devices} x {trainer.accelerator.__class__.__name__}",
            "from": source or "random weights",
            "out": out,
        },
    )
    save(config, out / "config.yaml")
    trainer.fit(stage, data, ckpt_path=last)
    if trainer.fast_dev_run:
        print("one step of everything ran; nothing was kept")
        return
    best = trainer.checkpoint_callback.best_model_path
    if best:  # there is none where training ended before the first validation
        stage.load_weights(best)
    stage.export(out / "model")
    save_known(data.prompts, out / "model")
    print(f"weights: {out / 'model'}\ncurves: tensorboard --logdir {out}")


def _predecessor(run: Path, stage: DictConfig) -> Path | None:
    """The weights that the stage goes on from: the latest of those it may follow in this run."""
    candidates = [run / name / "model" for name in stage.follows]
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None and candidates:
        raise UserError(
            f"stage={stage.name} goes on from other weights, and there are none at "
            f"{' or '.join(map(str, candidates))}; train that stage first with the same run=, "
            "or give init_from="
        )
    return found


def _checkpoint_to_resume(out: Path, resume: bool | Literal["auto"]) -> Path | None:
    last = out / "checkpoints" / "last.ckpt"
    if resume is True and not last.exists():
        raise UserError(f"there is nothing to resume: {last} does not exist; leave out resume=true")
    if resume is False and last.exists():
        raise UserError(
            f"{out} holds an earlier run; go on with it (resume=true) or name another (run=NAME)"
        )
    return last if last.exists() else None


if __name__ == "__main__":
    main()
