"""ChimeraX-Hetero: heterogeneity of protein complexes. This file only dispatches to cmd/ and models/."""

from chimerax.core.toolshed import BundleAPI

_COMMAND_MODULES = {
    "hetero level": "level",
    "hetero open": "open",
    "hetero blocks": "blocks",
    "hetero blocks show": "blocks_show",
    "hetero blocks hide": "blocks_show",
    "hetero blocks zone": "blocks_zone",
    "hetero decode": "decode",
    "hetero latent": "latent",
    "hetero analyze": "analyze",
    "hetero path": "path",
    "hetero gaussians": "gaussians",
    "hetero quiver": "quiver",
    "hetero quiver select": "quiver",
    "hetero occupancy": "occupancy",
    "hetero populations": "populations",
    "hetero classes": "classes",
    "hetero select": "select",
    "hetero reconstruct": "reconstruct",
    "hetero movie": "movie",
    "hetero train": "train",
    "hetero siren": "siren",
    "hetero jobs": "jobs",
    "hetero engine": "engine",
    "hetero install": "install",
    "hetero stop": "stop",
}


class _HeteroAPI(BundleAPI):
    """What ChimeraX's toolshed calls."""

    api_version = 1

    @staticmethod
    def register_command(bundle_info, command_info, logger):
        """Register the one command that ``command_info`` names; called when it is first typed."""
        from importlib import import_module

        module = import_module(f".cmd.{_COMMAND_MODULES[command_info.name]}", __name__)
        module.register_command(command_info.name, logger)

    @staticmethod
    def start_tool(session, bundle_info, tool_info):
        """A panel, from ChimeraX's menu; the latent panel is that of the one run that is open."""
        from .tools import start

        return start(session, tool_info.name)

    @staticmethod
    def run_provider(session, name, mgr):
        """A button of the toolbar, or a preset."""
        from .buttons import PRESETS, run_button

        if name in PRESETS:
            mgr.execute(PRESETS[name])
        else:
            run_button(session, name)

    @staticmethod
    def get_class(class_name):
        """The class that a session file names, or None."""
        if class_name == "LatentTool":
            from .tools.latent import LatentTool

            return LatentTool
        from . import models

        return models.SAVED_CLASSES.get(class_name)


bundle_api = _HeteroAPI()
