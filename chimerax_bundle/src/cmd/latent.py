"""`hetero latent`: the latent panel of a run."""

from chimerax.core.commands import Bounded, CmdDesc, IntArg, ListOf, StringArg, register
from chimerax.core.errors import UserError

from ..models.places import places_of
from .arguments import PathArg
from .runs import RunArg, run_of
from .select import ColumnsArg

CLUSTERS = Bounded(IntArg, min=0)


def hetero_latent(session, run, axes=None, color=None, tables=None, clusters=None):
    """Open the panel of ``run``, or change what it shows; returns it.

    ``tables`` (paths) add columns to those that the run has; ``clusters`` groups of k-means are marked, none with 0.

    Raises:
        UserError: no window, no such column, or the engine's sentence.
    """
    if not has_window(session):
        raise UserError("The latent panel needs ChimeraX's window; 'hetero decode' and 'hetero path' do without.")
    from ..tools.latent import LatentTool

    run = run_of(session, run)
    tables = None if tables is None else dict.fromkeys((*run.tables, *tables))
    places = places_of(session, run, tables, clusters)
    for column in [*(axes or ()), *([color] if color not in (None, "density") else [])]:
        places.name_of(column)  # raises its sentence before anything changes
    for tool in session.tools.list():
        if isinstance(tool, LatentTool) and tool.run is run:
            tool.show_columns(axes, color)
            tool.display(True)
            return tool
    return LatentTool(session, "Hetero Latent", run, axes, color)


def has_window(session):
    """Whether ChimeraX runs with its window, so that there can be panels."""
    return session.ui.is_gui


def register_command(name, logger):
    """Register `hetero latent`."""
    description = CmdDesc(
        required=[("run", RunArg)],
        keyword=[("axes", ColumnsArg), ("color", StringArg), ("tables", ListOf(PathArg)), ("clusters", CLUSTERS)],
        synopsis="show the latent space of a trained model as a plane to click on",
    )
    register(name, description, hetero_latent, logger=logger)
