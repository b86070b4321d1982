"""Multiruns of ``notagen.train``: a folder for each job, and a table that compares them."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from notagen.atomic import replacing, write
from notagen.training.signals import is_first_rank

if TYPE_CHECKING:
    from lightning import Trainer


def is_job() -> bool:
    """True in a job of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def job_folder(out: str) -> str:
    """A folder below ``out`` for this job of a multirun, named by what is swept; else ``out``.

    Iterations of DPO have folders of their own already, where the next one finds them.
    """
    if not is_job():
        return out
    swept = {key: value for key, value in _swept().items() if key != "iteration"}
    name = ",".join(f"{key}={value}" for key, value in swept.items())
    return f"{out}/{name.replace('/', '_')}" if swept else out


def run_on_ranks(trainer: Trainer, out: Path, which: Literal["best", "last"]) -> float | None:
    """Run this command once for each rank of its node: of a multirun, this job alone.

    Args:
        trainer: of the ranks.
        out: folder of the run.
        which: of its checkpoints is exported.

    Returns:
        As the command itself. Outside a multirun, and when told to stop, it exits as the ranks do.
    """
    from notagen.training import checkpoints, ranks
    from notagen.training.run import exported

    arguments = sys.argv[1:]
    if is_job():
        arguments = [*HydraConfig.get().overrides.task, f"out={json.dumps(str(out))}"]
    code = ranks.run_each([sys.executable, "-m", "notagen.train", *arguments], trainer.num_devices)
    if not is_job() or code > 128:
        sys.exit(code)
    if code:
        return failed(ChildProcessError(f"its ranks ended with exit code {code}"), out)
    numbers = checkpoints.numbers(exported(out, which))
    record(numbers, out)
    return numbers.get(getattr(trainer.checkpoint_callback, "monitor", ""))


def record(numbers: Mapping[str, float | str], out: Path) -> None:
    """Keep the numbers of a job of a multirun where the table will look for them."""
    if not is_job():
        return
    hydra = HydraConfig.get()
    row = {**_swept(), **numbers, "folder": str(out)}
    write(Path(hydra.sweep.dir, f"{hydra.job.num}.json"), json.dumps(row))


def failed(error: Exception, out: Path) -> float:
    """Record why a job has failed, so that the others go on; outside a multirun, raise.

    Returns:
        Infinity, the job's number for sweepers.
    """
    if not is_job():
        raise error
    record({"failed": str(error)}, out)
    return float("inf")


class ComparisonTable(Callback):
    """Tells the jobs what is swept; at the end writes and prints what became of each."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Say which overrides are the same for all jobs, and fix the folder of their results.

        A job is composed anew, maybe by another process and later: what it must know has to be
        among Hydra's own overrides.
        """
        overrides = _parse(config.hydra.overrides.task)
        fixed = [item.key_or_group for item in overrides if not item.is_sweep_override()]
        config.hydra.overrides.hydra += [
            f"hydra.job.config.override_dirname.exclude_keys={json.dumps(fixed)}",
            f"hydra.sweep.dir={json.dumps(config.hydra.sweep.dir)}",
        ]

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Write ``table.csv`` and print it, the lowest validation loss first; on the first rank."""
        if not is_first_rank():
            return
        folder = Path(config.hydra.sweep.dir)
        rows = [json.loads(path.read_text()) for path in folder.glob("*.json")]
        rows.sort(key=lambda row: row.get("val/loss", float("inf")))
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (
            replacing(folder / "table.csv") as unfinished,
            unfinished.open("w", newline="") as file,
        ):
            table = csv.DictWriter(file, columns)
            table.writeheader()
            table.writerows(rows)
        shown = [[_shown(row.get(key, "")) for key in columns] for row in rows]
        print("\n".join(_aligned([columns, *shown])))
        print(f"table: {folder / 'table.csv'}")


def _swept() -> dict[str, str]:
    """The overrides of this job that other jobs have with other values."""
    hydra = HydraConfig.get()
    return {
        item.key_or_group: item.get_value_element_as_str()
        for item in _parse(hydra.overrides.task)
        if item.key_or_group not in hydra.job.config.override_dirname.exclude_keys
    }


def _parse(overrides: Iterable[str]) -> list[Override]:
    return OverridesParser.create().parse_overrides(list(overrides))


def _shown(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
