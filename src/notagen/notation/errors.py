"""What can be wrong with the text of a score."""

from notagen.errors import UserError


class NotationError(UserError):
    """Raised for text that is not a score; says where, and what was expected."""
