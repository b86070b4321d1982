"""Exceptions of this project; each message is one sentence that tells the user what to do."""


class UserError(ValueError):
    """An error that a user can cause; the commands print its message and exit with 1."""


class NotationError(UserError):
    """Text that is not a score; the message names the line and what was expected there."""


class ScoreError(UserError):
    """A score that can't be read or written; the message names it and the reason."""
