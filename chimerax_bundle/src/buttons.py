"""The toolbar's tab "Heterogeneity" and the presets: what each button runs, as a command."""

from chimerax.core.commands import run
from chimerax.core.errors import UserError

PRESETS = {
    "blocks and maps (white)": "set bgColor white; graphics silhouettes true width 1.5; lighting soft",
    "motion (black)": "set bgColor black; graphics silhouettes false; lighting full",
}
_COMMANDS = {
    "Latents": 'ui tool show "Hetero Latent"',
    "Series": 'ui tool show "Hetero Series"',
    "Blocks": 'ui tool show "Hetero Blocks"',
    "Jobs": "hetero jobs",
    "Stop": "hetero stop",
    "Engine": "hetero engine",
    "Help": "help hetero",
}


def run_button(session, name):
    """Run the command that a button stands for.

    Raises:
        UserError: there is nothing to do it with.
    """
    if name in _COMMANDS:
        run(session, _COMMANDS[name])
    elif name == "Open":
        _open(session)
    elif name == "Level":
        run(session, f"hetero level {_maps_shown(session)}")


def _open(session):
    from Qt.QtWidgets import QFileDialog

    folder = QFileDialog.getExistingDirectory(None, "A folder of maps, of blocks, or a run")
    if folder:
        run(session, f'hetero open "{folder}"')


def _maps_shown(session):
    from chimerax.map import Volume

    shown = [m for m in session.models.list() if isinstance(m, Volume) and m.visible]
    if not shown:
        raise UserError("No map is displayed; open one, or show one.")
    return "#" + ",".join(volume.id_string for volume in shown)
