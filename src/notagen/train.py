"""``python -m notagen.train``: train one stage."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from notagen import atomic
from notagen.config import (
    announce,
    build,
    build_each,
    chosen,
    command,
    listed,
    options,
    plain,
    quiet,
    save,
    saved,
)
from notagen.errors import Stopped, UserError
from notagen.training import cpu, signals, sweep

if TYPE_CHECKING:
    import lightning as L

    from notagen.training.run import Run


@command("train")
def main(config: DictConfig) -> float | None:
    """Train one stage and export its weights.

    Returns:
        The number that best weights are chosen by, for sweepers that look for it; None where
        there was no validation, and on ranks but the first.
    """
    config.out = sweep.job_folder(config.out)
    signals.stop_at_once()
    with signals.saying_how_to_resume(Path(config.out), config.resume):
        if config.trainer.accelerator == "cpu":
            cpu.configure()

        from notagen.data.workers import end_loaders, end_with_parent
        from notagen.training import ranks

        quiet()
        started = ranks.started()
        trainer = _trainer(config)
        ranks.check(trainer, started)
        if ranks.must_be_started(trainer):
            return sweep.run_on_ranks(trainer, Path(config.out), _exported(config))
        if "LOCAL_RANK" in os.environ:
            end_with_parent(signal.SIGTERM)
        with atomic.locked(Path(config.out)) if trainer.is_global_zero else nullcontext():
            try:
                return _train(config, trainer)
            finally:
                end_loaders()


def _trainer(config: DictConfig) -> L.Trainer:
    from lightning.pytorch.callbacks import ProgressBar

    callbacks = build_each(config.callbacks)
    trainer: L.Trainer = build(
        config.trainer,
        logger=build_each(config.logger),
        callbacks=callbacks,
        # Lightning adds a bar of its own where there is none
        enable_progress_bar=any(isinstance(each, ProgressBar) for each in callbacks),
    )
    # Lightning's handlers of signals would talk to other ranks from within a signal.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def _exported(config: DictConfig) -> Literal["best", "last"]:
    which: Literal["best", "last"] = config.stage.get("export", "best")
    return which


def _train(config: DictConfig, trainer: L.Trainer) -> float | None:
    import lightning as L

    from notagen.training import ranks
    from notagen.training.loggers import log_result, log_settings
    from notagen.training.run import Run

    start = {"resume": config.resume, "init_from": config.init_from}
    run = Run.open(Path(config.out), **start, starts_from=listed(config.stage.starts_from))
    if run.complete:
        if trainer.is_global_zero:
            print(f"{config.stage.name} is complete: {run.out / 'model'} (resume=true trains on)")
        return None

    schedule = build(config.schedule)
    named = config.model.name
    if run.checkpoint is None:
        config.init_from = run.start  # known from here on, also to stage.data and in config.yaml
    else:
        begun = saved(run.out / "config.yaml")
        config.init_from = config.init_from or begun.get("init_from")
        _take_size(config.model, begun.get("model", {}))
        run.check_settings(begun, config, trainer.world_size, schedule)

    L.seed_everything(config.seed, verbose=False)
    model = _model(config, run)
    stage = build(
        config.stage.module, model=model, optimizer=build(config.optimizer), schedule=schedule
    )
    data = build(config.stage.data)
    run.check(stage)
    if trainer.is_global_zero:
        weights = list(model.parameters())
        size = named if named == config.model.name else f"{config.model.name} as those weights"
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
        log_settings(trainer.loggers, plain(config))
    trainer.ckpt_path = run.checkpoint  # as an argument of fit it is not known yet in setup()
    try:
        with ranks.losing_one_is_said():
            trainer.fit(stage, data, weights_only=True)
    except (FloatingPointError, UserError) as error:
        return sweep.failed(error, run.out)
    if signals.STOP.number:  # after the last step; a resumed run has only to export
        raise Stopped("stopped after the last step", signals.STOP.number)
    numbers = run.export(stage, trainer, _exported(config), data.prompts)
    if numbers is None:
        return None
    sweep.record(numbers, run.out)
    compared = numbers.get(getattr(trainer.checkpoint_callback, "monitor", ""))
    if compared is not None:
        log_result(trainer.loggers, compared, int(numbers["steps"]))
    return compared


def _model(config: DictConfig, run: Run) -> Any:
    """Build the model, with the size and the values of the weights that the run starts from."""
    from notagen.model import weights

    sizes, start = options("model"), None
    # A music encoder has other sizes, and starts afresh.
    if run.start is not None and config.model.keys() >= {*weights.SIZES}:
        start = weights.load(run.start)
        fitting = weights.fitting(start, sizes)
        if fitting and config.model.name not in fitting:
            _take_size(config.model, sizes[fitting[0]])
    model = build(config.model, "name")
    run.load_start(model, start, sizes)
    if "adapter" in config:
        model.adapt(build(config.adapter))
    return model


def _take_size(model: DictConfig, size: Mapping[str, Any]) -> None:
    """Make a model as large as the weights it starts from, unless its size was chosen.

    Args:
        model: node ``model``; changed in place.
        size: of the weights, as an option of ``model=`` has it.
    """
    from notagen.model.weights import SIZES

    default = options("model").get(model.name, {})
    if not default.keys() >= {*SIZES} or chosen("model"):
        return
    if any(model.get(key) != default[key] for key in SIZES):
        return
    if any(size.get(key, default[key]) != default[key] for key in SIZES):
        model.update({key: size[key] for key in ("name", *SIZES)})


if __name__ == "__main__":
    main()
