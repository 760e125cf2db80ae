"""One thing at a time, and always the latest."""


class LatestWins:
    """Call ``act(item)`` for the latest item: items that come while it works replace each other.

    The window lives on while a command waits for the engine, so a click can arrive in the middle of another's work.
    """

    def __init__(self, act):
        self._act = act
        self._busy = False
        self._next = None

    def __call__(self, item):
        """Do ``item`` now, or when what is being done is done, unless another comes."""
        self._next = item
        if self._busy:
            return
        self._busy = True
        try:
            while self._next is not None:
                item, self._next = self._next, None
                self._act(item)
        finally:
            self._busy = False
