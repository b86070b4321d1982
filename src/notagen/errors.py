"""Exceptions of this project; each message is one sentence that tells the user what to do."""

import signal


class UserError(ValueError):
    """An error that a user can cause; the commands print its message and exit with 1."""


class NotationError(UserError):
    """Text that is not a score; the message names the line and what was expected there."""


class ScoreError(UserError):
    """A score that can't be read or written; the message names it and the reason."""


class Stopped(KeyboardInterrupt):
    """A command was told to stop by a signal; it prints the message and exits with 128 + signal.

    It is no ``Exception``, as Ctrl-C is none: nothing that handles errors takes it for one.

    Args:
        message: what was kept, and the command that resumes; empty where there is nothing to say.
        number: the signal.
    """

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number
