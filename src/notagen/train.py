"""``python -m notagen.train``: train one stage."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from notagen.config import (
    announce,
    build,
    build_each,
    chosen,
    command,
    listed,
    options,
    quiet,
    save,
)
from notagen.errors import UserError
from notagen.training import cpu, sweep


@command("train")
def main(config: DictConfig) -> float | None:
    """Train one stage and export its weights.

    Returns:
        The number that best weights are chosen by, for sweepers that look for it; None where
        there was no validation, and on ranks but the first.
    """
    if (steps := config.trainer.max_steps) < 1:
        raise UserError(f"stage.max_steps={steps} trains nothing; choose 1 or more")

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
    as_start = run.start is not None and _take_size(config.model, run.start)
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
        size = f"{config.model.name} as those weights" if as_start else config.model.name
        trained = sum(weight.numel() for weight in weights if weight.requires_grad)
        announce(
            "train",
            {
                "stage": config.stage.name,
                "from": run.source,
                "model": f"{size}, {sum(weight.numel() for weight in weights):,} parameters, "
                f"{trained:,} trained",
                "corpus": config.corpus.prepared,
                "steps": config.trainer.max_steps,
                "devices": f"{trainer.world_size} x {type(trainer.accelerator).__name__}",
                "out": run.out,
            },
        )
        save(config, run.out / "config.yaml")
    trainer.ckpt_path = run.checkpoint  # as an argument of fit it is not known yet in setup()
    try:
        trainer.fit(stage, data, weights_only=True)
    except FloatingPointError as error:
        return sweep.failed(error, run.out)
    numbers = run.export(stage, trainer, config.stage.get("export", "best"), data.prompts)
    if numbers is None:
        return None
    sweep.record(numbers, run.out)
    return numbers.get(getattr(trainer.checkpoint_callback, "monitor", ""))


def _take_size(model: DictConfig, start: str) -> bool:
    """Make a model as large as the weights it starts from, unless its size was chosen.

    Args:
        model: node ``model``; changed in place.
        start: name of the weights.

    Returns:
        Whether it was changed.
    """
    from notagen.model import weights

    sizes = options("model")
    default = sizes.get(model.name, {})
    if chosen("model") or any(model.get(key) != default.get(key) for key in weights.SIZES):
        return False
    fitting = weights.fitting(weights.load(start), sizes)
    if not fitting or model.name in fitting:
        return False
    model.update({key: sizes[fitting[0]][key] for key in ("name", *weights.SIZES)})
    return True


if __name__ == "__main__":
    main()
