"""What the bundle remembers between sessions of ChimeraX."""

from chimerax.core.settings import Settings


class HeteroSettings(Settings):
    """One saved value: ``python``, the path of the Python that runs the engine, or "" when none was chosen."""

    AUTO_SAVE = {"python": ""}  # noqa: RUF012 (ChimeraX's way to declare settings)


def settings_of(session):
    """The settings of ``session``, read from disk once."""
    if not hasattr(session, "_hetero_settings"):
        session._hetero_settings = HeteroSettings(session, "Hetero")
    return session._hetero_settings
