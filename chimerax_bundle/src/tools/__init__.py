"""Panels (Qt): each of their actions writes and runs a command."""


def start(session, name):
    """The panel called ``name`` in ChimeraX's menu; one of each kind.

    Raises:
        UserError: not one run is open, where its panel is asked for.
    """
    if name == "Hetero Latent":
        return _latent(session)
    from .blocks import BlocksTool
    from .series import SeriesTool

    kind = {"Hetero Blocks": BlocksTool, "Hetero Series": SeriesTool}[name]
    for tool in session.tools.list():
        if isinstance(tool, kind):
            tool.display(True)
            return tool
    return kind(session, name)


def _latent(session):
    from chimerax.core.commands import run
    from chimerax.core.errors import UserError

    from ..models.run import open_runs

    runs = open_runs(session)
    if len(runs) != 1:
        raise UserError(f"{len(runs)} runs are open; type 'hetero latent RUN', with the number or folder of one.")
    return run(session, f"hetero latent {runs[0].atomspec}")
