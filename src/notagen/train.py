"""``python -m notagen.train``: run one stage of training."""

from __future__ import annotations

from os.path import normpath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from notagen.config import announce, build, command, options, plain, quiet, save
from notagen.errors import UserError
from notagen.training import cpu, sweep

if TYPE_CHECKING:
    from notagen.model import NotaGen


@command("train")
def main(config: DictConfig) -> float | None:
    """Train ``stage`` and write the weights that did best in validation.

    Returns:
        The number that best weights are chosen by, for sweepers that look for it; None where
        there was no validation, and on ranks but the first.
    """
    run = Path(config.out).parent
    if sweep.is_job():
        config.out = sweep.job_folder(config.out)
    out = Path(config.out)
    preferring = config.stage.name.startswith("dpo")
    if preferring and config.iteration < 1:
        raise UserError(f"iteration={config.iteration} is none; they are counted from 1")
    if (steps := config.stage.max_steps) < 1:
        raise UserError(f"stage.max_steps={steps} trains nothing; choose 1 or more")
    if preferring and (out / "model").is_dir():
        print(f"iteration {config.iteration} is complete: {out / 'model'}")
        return None
    last = _checkpoint_to_resume(out, "auto" if preferring else config.resume)
    cpu.configure()

    import lightning as L

    from notagen.model import weights
    from notagen.prompts import save_known
    from notagen.training import checkpoints

    quiet()
    L.seed_everything(config.seed, verbose=False)
    start = config.init_from or _predecessor(run, config)
    source = last or start
    if preferring:
        from notagen.dpo import launch_fabric, prepare, store_reference

        fabric = launch_fabric(config.trainer)
        prepare(fabric, config, str(start), out)
        if config.stage.until == "score":
            return None
    model = _new_model(config)
    if last is None and source is not None:
        weights.load_into(model, str(source), options("model"))
    if "adapter" in config:
        model.adapt(build(config.adapter))
    if config.freeze is not None:
        _freeze(model, config.freeze)
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
    sweep.check(trainer)
    if last is not None:
        checkpoints.check(last, stage.state_dict())
    if trainer.is_global_zero:
        announce(
            "train",
            {
                "stage": config.stage.name,
                "model": f"{_size(config)}, {_parameters(model)}",
                "corpus": config.stage.data.path,
                "steps": config.trainer.max_steps,
                "devices": f"{trainer.world_size} x {trainer.accelerator.__class__.__name__}",
                "from": source or "random weights",
                "out": out,
            },
        )
        save(config, out / "config.yaml")
    if preferring and last is None:
        store_reference(fabric, trainer, stage, data, out)
    try:
        trainer.fit(stage, data, ckpt_path=last, weights_only=True)
    except FloatingPointError as error:
        if not sweep.is_job():
            raise
        sweep.record({"failed": str(error)}, out)  # the other jobs go on
        return float("inf")
    if not trainer.is_global_zero:
        return None
    if trainer.fast_dev_run:
        print("one step of everything ran; nothing was kept")
        return None
    kept = _kept(out / "checkpoints", config.stage)
    stage.export(kept, out / "model")
    save_known(data.prompts, out / "model")
    print(f"weights: {out / 'model'}\ncurves: tensorboard --logdir {out}")
    numbers = checkpoints.numbers(kept)
    if sweep.is_job():
        sweep.record(numbers, out)
    return numbers.get(trainer.checkpoint_callback.monitor)


def _new_model(config: DictConfig) -> Any:
    """The backbone, or what the stage trains in its place, with random weights."""
    from notagen.model import ModelConfig, NotaGen

    if "network" in config.stage:
        if config.init_from is not None:
            raise UserError(f"stage={config.stage.name} starts afresh; leave out init_from=")
        if "FullySharded" in str(config.trainer.get("strategy")):
            raise UserError(f"stage={config.stage.name} fits on any device whole; use trainer=ddp")
        return build(config.stage.network)
    return NotaGen(ModelConfig(**plain(config.model, "name")))


def _size(config: DictConfig) -> str:
    return "encoder" if "network" in config.stage else str(config.model.name)


def _freeze(model: NotaGen, level: str) -> None:
    """Keep the weights of one level as they are."""
    if level not in ("patch", "char"):
        raise UserError(f"freeze={level} is not a level; choose patch or char")
    getattr(model, f"{level}_decoder").requires_grad_(False)


def _parameters(model: NotaGen) -> str:
    counts = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    trained = sum(count for count, is_trained in counts if is_trained)
    return f"{sum(count for count, _ in counts):,} parameters, {trained:,} trained"


def _kept(folder: Path, stage: DictConfig) -> Path:
    """The checkpoint that did best; the last where the stage says so or was never validated."""
    best = folder / "best.ckpt"
    return best if stage.get("export") != "last" and best.exists() else folder / "last.ckpt"


def _predecessor(run: Path, config: DictConfig) -> Path | None:
    """The weights that the stage goes on from: the latest of those it may follow in this run."""
    stage = config.stage
    names = stage.starts_from
    if stage.name.startswith("dpo") and config.iteration > 1:
        names = [f"dpo-{config.iteration - 1}"]
    # ".." is taken off the name: the folder of this run need not be there yet.
    candidates = [Path(normpath(run / name / "model")) for name in names]
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None and candidates:
        raise UserError(
            f"stage={stage.name} goes on from other weights, and there are none at "
            f"{' or '.join(map(str, candidates))}; train that stage first with the same run=, "
            "or give init_from="
        )
    return found


def _checkpoint_to_resume(out: Path, resume: bool | Literal["auto"]) -> Path | None:
    if resume not in (True, False, "auto"):
        raise UserError(f"resume={resume} is not known; choose true, false or auto")
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
