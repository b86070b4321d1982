"""Errors of this project, each of one sentence that tells what to do."""


class UserError(ValueError):
    """Raised for anything a user can cause; the commands print its message and exit with 1."""


class NotationError(UserError):
    """Raised for text that is not a score; says where, and what was expected."""


class ScoreError(UserError):
    """A score can't be read, or holds what can't be written; the message says which and why."""
