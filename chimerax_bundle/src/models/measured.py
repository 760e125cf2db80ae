"""What was measured last in maps that are open: how much of each block they have, and how many have it."""

from dataclasses import dataclass, field

CHANGED = "hetero measured"  # ChimeraX's trigger for those who show it


@dataclass
class Measured:
    """Answers of `hetero occupancy`, and of `hetero populations` on them.

    Attributes:
        table: path of the table.
        blocks: path of the blocks' folder.
        maps: name in the table -> map.
        shares: name -> ``{block: share or None}``.
        populations: block -> the engine's row.
    """

    table: str
    blocks: str
    maps: dict
    shares: dict
    populations: dict = field(default_factory=dict)

    def share(self, volume, block):
        """How much of ``block`` is in ``volume``, or None."""
        for name, known in self.maps.items():
            if known is volume:
                return self.shares[name].get(block)
        return None


def measured_of(session):
    """The Measured of ``session``, or None."""
    return getattr(session, "_hetero_measured", None)


def keep_measured(session, measured):
    """Make it the session's, and tell those who show it."""
    session._hetero_measured = measured
    add_trigger(session)
    session.triggers.activate_trigger(CHANGED, measured)


def add_trigger(session):
    """Have the trigger, once."""
    if not session.triggers.has_trigger(CHANGED):
        session.triggers.add_trigger(CHANGED)
