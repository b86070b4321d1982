"""Types and ranges of the keys of each command, and of those that other libraries take unchecked.

All other keys of ``conf/`` are arguments of a ``_target_``, whose annotations are their types; see
:mod:`notagen.schema`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired, TypedDict

from annotated_types import Interval, MinLen

from notagen.ranges import (
    Clock,
    Count,
    CountOrZero,
    Fraction,
    Name,
    Object,
    Positive,
    PositiveFraction,
    PositiveOrZero,
    Rate,
    Seed,
)

Level = Literal["patch", "char"]
Transpose = Literal["all", "near", "original"]


class Corpus(TypedDict):
    """Keys of ``corpus``."""

    name: Name
    prepared: Name
    sources: Object


class Stage(TypedDict):
    """Keys of ``stage``."""

    name: Name
    starts_from: Name | list[Name]
    first_from: NotRequired[Name | list[Name]]
    max_steps: Count
    learning_rate: Positive
    learning_rates: NotRequired[Mapping[str, Positive]]
    batch_sizes: NotRequired[Mapping[str, Count]]
    transposes: NotRequired[Mapping[str, Transpose]]
    warmup_steps: NotRequired[CountOrZero]
    export: NotRequired[Literal["best", "last"]]
    resume: NotRequired[bool | Literal["auto"]]
    align: NotRequired[Literal["enforce", "report", "off"]]
    judge: NotRequired[Name | None]
    module: Object
    data: Object


class Model(TypedDict):
    """Keys of ``model``."""

    _target_: Name
    name: Name


class Trainer(TypedDict):
    """Arguments of Lightning's trainer."""

    _target_: Name
    accelerator: NotRequired[Literal["cpu", "gpu", "mps", "cuda", "tpu", "auto"]]
    accumulate_grad_batches: NotRequired[Count]
    check_val_every_n_epoch: NotRequired[Count | None]
    devices: NotRequired[Count | Annotated[list[CountOrZero], MinLen(1)] | Literal["auto"]]
    fast_dev_run: NotRequired[bool | CountOrZero]
    gradient_clip_val: NotRequired[PositiveOrZero | None]
    limit_train_batches: NotRequired[Count | Fraction | None]
    limit_val_batches: NotRequired[CountOrZero | Fraction | None]
    log_every_n_steps: NotRequired[Count]
    max_steps: Count
    max_time: NotRequired[Clock | None]
    num_nodes: NotRequired[Count]
    num_sanity_val_steps: NotRequired[CountOrZero]
    overfit_batches: NotRequired[CountOrZero | Fraction]
    profiler: NotRequired[Literal["simple", "advanced", "pytorch"] | Object | None]
    val_check_interval: NotRequired[Count | PositiveFraction | Clock | None]


class Optimizer(TypedDict):
    """Arguments of optimizers."""

    _target_: Name
    lr: NotRequired[PositiveOrZero]
    betas: NotRequired[tuple[Rate, Rate]]
    weight_decay: NotRequired[PositiveOrZero]


class Schedule(TypedDict):
    """Arguments of schedules."""

    _target_: Name
    num_warmup_steps: NotRequired[CountOrZero]
    num_training_steps: NotRequired[Count]


class Callback(TypedDict):
    """Arguments of Lightning's callbacks."""

    _target_: Name
    decay: NotRequired[Rate]
    filename: NotRequired[Name]
    mode: NotRequired[Literal["min", "max"]]
    monitor: NotRequired[Name]
    patience: NotRequired[CountOrZero]
    save_top_k: NotRequired[Annotated[int, Interval(ge=-1, le=2**31 - 1)]]
    update_every_n_steps: NotRequired[Count]
    update_starting_at_step: NotRequired[CountOrZero | None]


class Train(TypedDict):
    """Keys of ``conf/train.yaml``."""

    run: Name
    out: Name
    iteration: Count
    seed: Seed
    init_from: Name | None
    freeze: Level | None
    resume: bool | Literal["auto"]
    model: Model
    corpus: Corpus
    stage: Stage
    trainer: Trainer
    optimizer: Optimizer
    schedule: Schedule
    logger: Mapping[str, Object | None]
    callbacks: Mapping[str, Callback | None]
    sampling: Object
    reward: NotRequired[Object]
    adapter: NotRequired[Object]


class Prepare(TypedDict):
    """Keys of ``conf/prepare.yaml``."""

    corpus: Corpus
    out: Name
    engine: Literal["local", "ray"]
    processes: Annotated[int, Interval(ge=1, le=10_000)] | None
    limit: Count | None
    overwrite: bool
    rules: Rules
    limits: Limits


class Rules(TypedDict):
    """Keys of ``rules``."""

    min_bars: CountOrZero
    similarity: PositiveFraction
    validation_fraction: Fraction
    note_difference: Fraction
    bar_metres: Annotated[float, Interval(ge=1, le=1000)]


class Limits(TypedDict):
    """Keys of ``limits``."""

    file_mb: Positive
    seconds: Positive
    memory_gb: Positive


class Prompt(TypedDict):
    """Keys of ``prompt``."""

    period: Name | None
    composer: Name | None
    instrumentation: Name | None


class Form(TypedDict):
    """Keys of ``form``."""

    bars: Annotated[int, Interval(ge=1, le=1000)] | None
    metre: Name | None
    key: Name | None
    tempo: Annotated[int, Interval(ge=1, le=999)] | Name | None
    voices: Annotated[int, Interval(ge=1, le=64)] | Name | list[Name] | None


class Generate(TypedDict):
    """Keys of ``conf/generate.yaml``."""

    sampling: Object
    weights: Name
    out: Name
    n: Count
    prompt: Prompt
    form: Form
    formats: Name | Annotated[list[Name], MinLen(1)]
    seed: Seed
    batch_size: Count
    max_patches: Count
    precision: Literal["32", "bf16", "16"]
    quantize: Literal["int8"] | None
    cuda_graphs: bool


class Evaluate(TypedDict):
    """Keys of ``conf/evaluate.yaml``."""

    corpus: Corpus
    sampling: Object
    reward: NotRequired[Object]
    weights: Name | Annotated[list[Name], MinLen(1)]
    where: Name | None
    prompts: bool
    ngram_order: Annotated[int, Interval(ge=0, le=100)]
    stages: Name | list[Name]
    out: Name | None
    run: Name
    iteration: Count
    judge: Name | None
    seed: Seed
    samples: Object
    preferences: Object
    bounds: Object


class Export(TypedDict):
    """Keys of ``conf/export.yaml``."""

    weights: Name
    out: Name


class Select(TypedDict):
    """Keys of ``conf/select.yaml``."""

    corpus: Corpus
    encoder: Name
    like: Name
    fraction: PositiveFraction
    out: Name


class Probe(TypedDict):
    """Keys of ``conf/probe.yaml``."""

    reward: Object
    corpus: Corpus
    run: Name
    columns: Name | list[Name]
    min_real: Count
    max_per_label: Count
    seed: Seed
    cache: Name
    out: Name | None


KEYS: Final[Mapping[str, Any]] = {
    "train": Train,
    "prepare": Prepare,
    "generate": Generate,
    "evaluate": Evaluate,
    "export": Export,
    "select": Select,
    "probe": Probe,
}
