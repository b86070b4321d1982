"""Which machines read the scores: this one, or all of a Ray cluster.

An engine calls a reader with each source under limits, and yields what becomes of each as it is
ready. It decides where files are read and when, and nothing about the corpus.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final

from notagen.corpus.reader import Outcome
from notagen.corpus.sources import Source
from notagen.corpus.workers import Failure, Limits, each
from notagen.errors import UserError

Reading = Callable[[Source], Outcome]
Result = tuple[Source, Outcome | Failure]
Engine = Callable[[Reading, Sequence[Source], int | None, Limits], Iterator[Result]]

_TASK = 16  # files in a Ray task: enough that starting a reader does not count


def local(
    reader: Reading, sources: Sequence[Source], processes: int | None, limits: Limits
) -> Iterator[Result]:
    """Read on this machine, one file a core at a time unless ``processes`` says otherwise."""
    return each(reader, sources, processes or os.cpu_count() or 1, limits)


def on_ray(
    reader: Reading, sources: Sequence[Source], processes: int | None, limits: Limits
) -> Iterator[Result]:
    """Read on all machines of a Ray cluster, which find notagen and the scores as this one does.

    The cluster is that of ``RAY_ADDRESS``, else the one that this machine belongs to, else this
    machine alone. Within a task a file is read as :func:`local` reads it, so that the limits hold;
    Ray runs the tasks of a machine that fails again elsewhere.

    Args:
        reader: can be pickled.
        sources: the scores.
        processes: how many files are read at a time; one a core of the cluster when None.
        limits: of each file.

    Raises:
        UserError: Ray is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
    try:
        import ray
    except ImportError as error:
        raise UserError("engine=ray needs Ray: pip install 'notagen[scale]'") from error
    with ray.init(log_to_driver=False):
        read = ray.remote(_read)
        tasks = (sources[start : start + _TASK] for start in range(0, len(sources), _TASK))
        running: list[ray.ObjectRef[list[Result]]] = []
        while True:
            # Twice as many tasks as cores, so that none waits; a cluster may grow meanwhile.
            most = processes or 2 * int(ray.cluster_resources()["CPU"])
            room = max(0, most - len(running))
            running += [read.remote(reader, task, limits) for task in islice(tasks, room)]
            if not running:
                return
            [done], running = ray.wait(running)
            yield from ray.get(done)


def _read(reader: Reading, sources: Sequence[Source], limits: Limits) -> list[Result]:
    """A Ray task: one reader in a process of its own."""
    return list(each(reader, sources, 1, limits))


ENGINES: Final = MappingProxyType({"local": local, "ray": on_ray})
