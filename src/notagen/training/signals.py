"""Signals that stop a training: SIGTERM, Ctrl-C and SLURM's SIGUSR1; which command resumes it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from notagen.errors import Stopped, UserError

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_REQUEUE: Final = signal.SIGUSR1  # as Lightning's handler for SLURM, which this one replaces


def is_first_rank() -> bool:
    """True in the first rank, by what started it: torchrun, SLURM or ourselves."""
    return not any(int(os.environ.get(n, 0)) for n in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))


def stop_at_once() -> None:
    """Let a signal end the process until there is something to save.

    On the first rank it raises :class:`Stopped`. Other ranks have nothing to say: the system ends
    them, even where they wait for one another.
    """
    STOP.raised = None
    if threading.current_thread() is not threading.main_thread():
        return  # a thread gets no signals
    for number in (*_STOPPING, *_requeueing()):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _stop if is_first_rank() else signal.SIG_DFL)


def _stop(number: int, _: object) -> None:
    STOP.raised = Stopped(number=number)
    raise STOP.raised


def _requeueing() -> tuple[int, ...]:
    return (_REQUEUE,) if "SLURM_JOB_ID" in os.environ else ()


class StopSignals:
    """Signals that are noted while a step runs, to be answered between two.

    Attributes:
        number: the first signal since :meth:`listen`; 0 for none.
        raised: what one before that has raised, and a library's callback may have lost.
    """

    def __init__(self) -> None:
        self.number = 0
        self.raised: Stopped | None = None
        self._before: dict[int, Any] = {}
        self._cutting_short = False

    def listen(self) -> None:
        """Note signals from now on; those that the process ignores stay ignored."""
        if threading.current_thread() is not threading.main_thread():
            return  # a thread gets no signals
        self.forget()
        self.number, self.raised = 0, None
        for number in (*_STOPPING, *_requeueing()):
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._note)

    def forget(self) -> None:
        """Handle signals as before :meth:`listen`."""
        while self._before:
            signal.signal(*self._before.popitem())

    @contextmanager
    def cut_short(self) -> Iterator[None]:
        """End the block at a signal: what it does may be left out where training stops."""
        try:
            self._cutting_short = True
            try:
                yield
            finally:
                self._cutting_short = False
        except _CutShort:
            pass

    def _note(self, number: int, _: object) -> None:
        self.number = self.number or number
        if self._cutting_short:
            self._cutting_short = False
            raise _CutShort


class _CutShort(BaseException):
    """Ends :meth:`StopSignals.cut_short`."""


STOP: Final = StopSignals()
"""Those of this process."""


@contextmanager
def saying_how_to_resume(out: Path, resume: bool | str) -> Iterator[None]:
    """Make one sentence of an interrupt, on the first rank: what is kept, and how to go on.

    An error that the user can cause is said by one rank of each node.

    Args:
        out: folder of the run.
        resume: the key of that name.

    Raises:
        Stopped: on the first rank. Others exit with the same code and say nothing.
    """
    try:
        yield
    except BaseException as end:
        if (interrupt := _interrupt_behind(end)) is None:
            if isinstance(end, UserError) and _node_is_heard():
                sys.exit(1)
            raise
        for each in _STOPPING:
            signal.signal(each, signal.SIG_IGN)  # it ends already
        number = interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT
        if not is_first_rank():
            sys.exit(128 + number)
        stopped = str(interrupt) or "stopped"
        if number == _REQUEUE:
            raise Stopped(f"{stopped}; {_requeue()}", number) from None
        if (out / "checkpoints" / "last.ckpt").exists():
            how = f"resume with: {_command('resume=auto' if _is_multirun() else 'resume=true')}"
        elif resume == "auto":
            how = f"what was done is kept; go on with: {_command()}"
        else:
            how = "there was no checkpoint yet to resume from"
        raise Stopped(f"{stopped}; {how}", number) from None


def _interrupt_behind(end: BaseException) -> KeyboardInterrupt | None:
    if isinstance(end, SystemExit):  # Lightning's answer to an interrupt, whatever it was
        end = end.__context__ or end
    return end if isinstance(end, KeyboardInterrupt) else STOP.raised


def _node_is_heard() -> bool:
    """True if another rank says for this node what is wrong."""
    return any(int(os.environ.get(name, 0)) for name in ("LOCAL_RANK", "SLURM_LOCALID"))


def _command(*resume: str) -> str:
    """This command, as it was given, with another ``resume=``."""
    given = [each for each in sys.argv[1:] if not (resume and each.startswith("resume="))]
    return shlex.join(["python", "-m", "notagen.train", *given, *resume])


def _is_multirun() -> bool:
    return bool({"-m", "--multirun"} & set(sys.argv))


def _requeue() -> str:
    job = os.environ["SLURM_JOB_ID"]
    try:
        subprocess.run(["scontrol", "requeue", job], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the job could not be requeued: {error}"
    return f"job {job} is requeued, and goes on if its command has resume=auto"
