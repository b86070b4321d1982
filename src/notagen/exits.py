"""Exits of a command: one sentence for what a user, a machine or a signal can cause.

Errors that are none of these are faults of the program, and keep their traceback.
"""

from __future__ import annotations

import errno
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires
from typing import Final, TextIO

from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

from notagen.errors import Stopped, UserError

_WRITING: Final = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG}
_AGAIN: Final = 10.0  # seconds that a stop may take
_READING_OR_WRITING: Final = {
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EBUSY,
}


def listen() -> None:
    """Let Ctrl-C and SIGTERM raise :class:`Stopped` from here on."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a job in the background
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, _: object) -> None:
    # Raised in a callback from C, of numba's compiler say, the exception is lost: raise it again.
    signal.signal(signal.SIGALRM, lambda *_: _stop(number, None))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN)
    raise Stopped(number=number)


@contextmanager
def explained() -> Iterator[None]:
    """End the process with one sentence where the block raises what :func:`sentence` knows.

    The exit code is 1, 128 + the signal where one stopped it, and that of SIGPIPE, without a
    word, where nobody reads the output any more (``| head``).
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()  # a closed pipe is told here, not when the interpreter ends
    except KeyboardInterrupt as interrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stopped = interrupt if isinstance(interrupt, Stopped) else Stopped()
        print(f"notagen: {str(stopped) or 'stopped'}", file=sys.stderr)
        sys.exit(128 + stopped.number)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _is_unread(sys.stdout):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
            sys.exit(128 + signal.SIGPIPE)
        if (text := sentence(error)) is None:
            raise
        sys.exit(f"notagen: {text}")


def _is_unread(stream: TextIO) -> bool:
    """True if a stream is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def sentence(error: BaseException | None) -> str | None:
    """Sentence for a user about an error or its cause; None: a fault of the program."""
    while error is not None:
        if (text := _known(error)) is not None:
            return text
        error = error.__cause__
    return None


def _known(error: BaseException) -> str | None:
    text = str(error)
    match error:
        case UserError():
            return text
        case MissingMandatoryValue():
            return f"{error.full_key}= must be given; --help says what it is"
        case InterpolationResolutionError():
            first, _, _ = text.partition("\n")
            return first.partition("interpolation: ")[2] or first
        case ModuleNotFoundError(name=str(name)) if extra := extra_of(name.partition(".")[0]):
            return f"{name} is not installed; `pip install 'notagen[{extra}]'` does that"
        case OSError(errno=number) if number in _WRITING:
            return f"cannot write{_file(error)}: {error.strerror}"
        case OSError(errno=number) if number in _READING_OR_WRITING:
            return f"cannot read or write{_file(error)}: {error.strerror}"
        case MemoryError() | OSError(errno=errno.ENOMEM):
            return "there is not enough memory; choose smaller sizes or batches"
        case RuntimeError() if re.search("OutOfMemory|can't allocate memory|out of memory", text):
            return f"there is not enough memory ({text.splitlines()[0]}); choose smaller sizes"
        case FloatingPointError():
            return f"{text}; lower the learning rate, or look for what is odd in the corpus"
    if "inline_container" in text or "PytorchStreamWriter" in text:  # torch.save
        return "cannot write a file of weights: the disk is full, or does not take it"
    if found := re.search(r"(.*) \(os error \d+\)", text):  # safetensors, tokenizers: Rust's
        return f"cannot read or write weights: {found[1]}"
    return None


def _file(error: OSError) -> str:
    return "" if error.filename is None else f" {error.filename}"


def extra_of(distribution: str) -> str | None:
    """The extra of this project that a library is installed with."""
    try:
        lines = requires("notagen") or []
    except PackageNotFoundError:
        return None
    name = re.escape(distribution.replace("_", "-"))
    found = (re.match(rf"{name}\b(?!-).*extra == ['\"]([\w-]+)['\"]", line) for line in lines)
    return next((match[1] for match in found if match and match[1] != "dev"), None)
