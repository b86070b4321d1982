"""What a user is told when a score can't be read or written."""

from notagen.errors import UserError


class ScoreError(UserError):
    """A score can't be read, or holds what can't be written; the message says which and why."""
