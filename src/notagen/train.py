"""``python -m notagen.train``: train one stage."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.config import announce, build, build_each, command, listed, options, quiet, save
from notagen.training import cpu, sweep


@command("train")
def main(config: DictConfig) -> float | None:
    """Train one stage and export its weights.

    Returns:
        The number that best weights are chosen by, for sweepers that look for it; None where
        there was no validation, and on ranks but the first.
    """
    cpu.configure()

    import lightning as L

    from notagen.training.run import Run

    start = {"resume": config.resume, "init_from": config.init_from}
    config.out = sweep.job_folder(config.out)
    run = Run.open(Path(config.out), **start, starts_from=listed(config.stage.starts_from))
    if run.complete:
        print(f"{config.stage.name} is complete: {run.out / 'model'} (resume=true trains on)")
        return None
    config.init_from = run.start  # known from here on, also to stage.data and in config.yaml

    quiet()
    L.seed_everything(config.seed, verbose=False)
    model = build(config.model, "name")
    run.load_start(model, options("model"))
    if "adapter" in config:
        model.adapt(build(config.adapter))
    stage = build(
        config.stage.module,
        model=model,
        optimizer=build(config.optimizer),
        schedule=build(config.schedule),
    )
    data = build(config.stage.data)
    trainer = build(
        config.trainer,
        logger=build_each(config.logger),
        callbacks=build_each(config.callbacks),
    )
    sweep.check(trainer)
    run.check(stage)
    if trainer.is_global_zero:
        weights = list(model.parameters())
        trained = sum(weight.numel() for weight in weights if weight.requires_grad)
        announce(
            "train",
            {
                "stage": config.stage.name,
                "model": f"{config.model.name}, {sum(weight.numel() for weight in weights):,} "
                f"parameters, {trained:,} trained",
                "corpus": config.corpus.prepared,
                "steps": config.trainer.max_steps,
                "devices": f"{trainer.world_size} x {type(trainer.accelerator).__name__}",
                "from": run.source,
                "out": run.out,
            },
        )
        save(config, run.out / "config.yaml")
    try:
        trainer.fit(stage, data, ckpt_path=run.checkpoint, weights_only=True)
    except FloatingPointError as error:
        return sweep.failed(error, run.out)
    numbers = run.export(stage, trainer, config.stage.get("export", "best"), data.prompts)
    if numbers is None:
        return None
    sweep.record(numbers, run.out)
    return numbers.get(getattr(trainer.checkpoint_callback, "monitor", ""))


if __name__ == "__main__":
    main()
