"""What a user did that cannot work, said in one sentence."""


class UserError(ValueError):
    """Raised for anything a user can cause; the commands print its message and exit with 1."""
