"""The two ways in which a command ends early on purpose, and the one that it cannot help."""

import errno

_REFUSALS = {
    getattr(errno, name, None)
    for name in ("EACCES", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENOENT", "ENOSPC", "EPERM", "EROFS", "ESTALE")
}
_LONGEST = 1500  # characters: a sentence may quote what a file says, and a file may say a lot


def printable(text: str) -> str:
    """``text`` on one line, without what would steer a terminal; what is left out of a long one is marked."""
    text = _shortened(text)
    if text.isprintable():
        return text
    return _shortened("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


class HeteroError(Exception):
    """Bad input. ``str(error)`` is one sentence for the user: what was found, where, and what was expected."""

    def __str__(self) -> str:
        return printable(super().__str__())


class Damaged(HeteroError):
    """A file that is not whole: where one before it is kept, that one is used (:mod:`hetero.earlier`)."""


class Interrupted(HeteroError):
    """The system ended the work (a full disk, a file that vanished, workers that died): what is finished is good."""


class Cancelled(Exception):
    """The user asked to stop. Raised by a progress callback; nothing half-written is left behind."""

    def __init__(self, message: str = "Cancelled."):
        super().__init__(message)


class MapWarning(UserWarning):
    """Something was assumed or mended; ``str(warning)`` is one sentence for the user."""


def refusal_of_system(error: BaseException) -> str | None:
    """One sentence where the file system is to blame and not the program; None for everything else."""
    if not isinstance(error, OSError) or error.errno not in _REFUSALS:
        return None
    what = "A file" if error.filename is None else error.filename
    return printable(f"{what} cannot be read or written: {error.strerror.lower()}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, numpy or torch could not get the memory it asked for."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
