"""Engines that read scores in parallel: on this machine, or on a Ray cluster.

An engine calls a reader on each source under limits, and yields the outcomes as they are ready. It
decides where and when files are read, and nothing about the corpus.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from threading import current_thread, main_thread
from types import MappingProxyType
from typing import Final

from notagen.corpus.reader import Outcome
from notagen.corpus.sources import Source
from notagen.corpus.workers import Failure, Limits, each
from notagen.errors import UserError

Reading = Callable[[Source], Outcome]
Result = tuple[Source, Outcome | Failure]
Engine = Callable[[Reading, Sequence[Source], int | None, Limits], Iterator[Result]]

_TASK = 16  # files in a Ray task: enough to make the start of a reader negligible


def local(
    reader: Reading, sources: Sequence[Source], processes: int | None, limits: Limits
) -> Iterator[Result]:
    """Read on this machine, ``processes`` files at a time; by default one per core."""
    return each(reader, sources, processes or os.cpu_count() or 1, limits)


def on_ray(
    reader: Reading, sources: Sequence[Source], processes: int | None, limits: Limits
) -> Iterator[Result]:
    """Read on all machines of a Ray cluster, which must have notagen and the scores in place.

    The cluster is that of ``RAY_ADDRESS``, else the one that this machine belongs to, else this
    machine alone. Within a task, files are read as by :func:`local`, so that the limits hold; Ray
    repeats the tasks of a failed machine elsewhere.

    Args:
        reader: must be picklable.
        sources: the scores.
        processes: files read at a time; None: one per core of the cluster.
        limits: time and memory for one file.

    A signal ends the tasks with the cluster that was started here; tasks on a cluster that was
    there before end with the files that they are at.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports to Ray's developers
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    with ray.init(log_to_driver=False):
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray has put its own there, which exits
        read = ray.remote(_read)
        tasks = (sources[start : start + _TASK] for start in range(0, len(sources), _TASK))
        running: list[ray.ObjectRef[list[Result]]] = []
        while True:
            # Two tasks per core keep all cores busy. Asked each time: a cluster may grow.
            max_tasks = processes or 2 * int(ray.cluster_resources()["CPU"])
            room = max(0, max_tasks - len(running))
            running += [read.remote(reader, task, limits) for task in islice(tasks, room)]
            if not running:
                return
            [done], running = ray.wait(running)
            yield from ray.get(done)


def _read(reader: Reading, sources: Sequence[Source], limits: Limits) -> list[Result]:
    """Body of a Ray task: a reader in its own process."""
    return list(each(reader, sources, 1, limits))


_ENGINES: Final = MappingProxyType({"local": local, "ray": on_ray})


def engine(name: str) -> Engine:
    """An engine by name: local or ray.

    Raises:
        UserError: there is no such engine, or Ray is not installed.
    """
    if name not in _ENGINES:
        raise UserError(f"engine={name} is not known; choose from {', '.join(_ENGINES)}")
    if name == "ray" and find_spec("ray") is None:
        raise UserError("engine=ray needs Ray: pip install 'notagen[scale]'")
    return _ENGINES[name]
