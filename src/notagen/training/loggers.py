"""Loggers: a metrics.csv that a resumed run continues, and the settings of a run in each log."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from notagen.atomic import replacing


class MetricsTable(CSVLogger):
    """All numbers in one ``metrics.csv``, also those from before a resume."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The writer of the table."""
        if self._experiment is None:
            Path(self.root_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = _ContinuedTable(log_dir=self.log_dir)
        assert isinstance(self._experiment, ExperimentWriter)
        return self._experiment


class _ContinuedTable(ExperimentWriter):
    """Lightning's writer, which by itself removes the table of an earlier process."""

    def _check_log_dir_exists(self) -> None:
        self._earlier = Path(self.metrics_file_path).is_file()

    def save(self) -> None:
        """Append; the first time, after those earlier rows that are not logged again."""
        if self._earlier and self.metrics:
            self._earlier = False
            header, rows = self._read()
            step = self.metrics[0]["step"]
            kept = [row for row in rows if not _is_repeated(row, step)]
            self.metrics_keys = header
            self._write(header, kept)
        super().save()

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._write(fieldnames, self._read()[1])

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        with Path(self.metrics_file_path).open(newline="") as file:
            table = csv.DictReader(file)
            return list(table.fieldnames or ()), list(table)

    def _write(self, header: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
        with (
            replacing(Path(self.metrics_file_path)) as unfinished,
            unfinished.open("w", newline="") as file,
        ):
            table = csv.DictWriter(file, header)
            table.writeheader()
            table.writerows(rows)


def _is_repeated(row: dict[str, Any], step: float) -> bool:
    """True for a row that a run resumed at ``step`` logs again, unlike a sample made before it."""
    trained = any(value and name.startswith(("train/", "lr-")) for name, value in row.items())
    return int(row["step"]) > step or (int(row["step"]) == step and trained)


def log_settings(loggers: Iterable[Logger], settings: dict[str, Any]) -> None:
    """Log a run's configuration: ``hparams.yaml``, TensorBoard's HPARAMS tab, W&B's config."""
    for logger in loggers:
        logger.log_hyperparams(settings)


def log_result(loggers: Iterable[Logger], value: float, step: int) -> None:
    """Log the number that runs are compared by in TensorBoard's HPARAMS tab."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_metrics({"hp_metric": value}, step)
            logger.finalize("success")
