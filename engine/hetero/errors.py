"""The two ways in which a command ends early on purpose."""


class HeteroError(Exception):
    """Bad input. ``str(error)`` is one sentence for the user: what was found, where, and what was expected."""


class Cancelled(Exception):
    """The user asked to stop. Raised by a progress callback; nothing half-written is left behind."""

    def __init__(self, message: str = "Cancelled."):
        super().__init__(message)
