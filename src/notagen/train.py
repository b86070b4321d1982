"""``python -m notagen.train``: run one stage of training."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.allocator import keep_freed_memory
from notagen.config import announce, build, command, plain, quiet, save
from notagen.errors import UserError


@command("train")
def main(config: DictConfig) -> float:
    """Train ``stage`` and write its weights; return the best validation bits per character."""
    out = Path(config.out)
    last = _checkpoint_to_resume(out, config.resume)
    keep_freed_memory()

    import lightning as L

    from notagen.model import ModelConfig, NotaGen
    from notagen.prompt import save_known

    quiet()
    L.seed_everything(config.seed, verbose=False)
    sizes = ModelConfig(**plain(config.model, "name"))
    model = NotaGen(sizes)
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
            "from": last or "random weights",
            "out": out,
        },
    )
    save(config, out / "config.yaml")
    trainer.fit(stage, data, ckpt_path=last)
    checkpoint = trainer.checkpoint_callback
    stage.load_weights(checkpoint.best_model_path)
    stage.export(out / "model")
    save_known(data.prompts, out / "model")
    print(f"weights: {out / 'model'}\ncurves: tensorboard --logdir {out}")
    return float(checkpoint.best_model_score)


def _checkpoint_to_resume(out: Path, resume: bool) -> Path | None:
    last = out / "checkpoints" / "last.ckpt"
    if resume and not last.exists():
        raise UserError(f"there is nothing to resume: {last} does not exist; leave out resume=true")
    if not resume and last.exists():
        raise UserError(
            f"{out} holds an earlier run; go on with it (resume=true) or name another (run=NAME)"
        )
    return last if resume else None


if __name__ == "__main__":
    main()
