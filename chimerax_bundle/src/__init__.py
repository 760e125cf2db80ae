"""ChimeraX-Hetero: heterogeneity of protein complexes. This file only dispatches to cmd/ and models/."""

from chimerax.core.toolshed import BundleAPI

_COMMAND_MODULES = {
    "hetero level": "level",
    "hetero open": "open",
    "hetero blocks": "blocks",
    "hetero blocks show": "blocks_show",
    "hetero decode": "decode",
    "hetero latent": "latent",
    "hetero path": "path",
    "hetero gaussians": "gaussians",
    "hetero quiver": "quiver",
    "hetero quiver select": "quiver",
    "hetero occupancy": "occupancy",
    "hetero populations": "populations",
    "hetero classes": "classes",
    "hetero select": "select",
    "hetero reconstruct": "reconstruct",
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
        """The latent panel of the one run that is open, from ChimeraX's menu."""
        from chimerax.core.commands import run
        from chimerax.core.errors import UserError

        from .models.run import open_runs

        runs = open_runs(session)
        if len(runs) != 1:
            raise UserError(f"{len(runs)} runs are open; type 'hetero latent RUN', with the number or folder of one.")
        return run(session, f"hetero latent {runs[0].atomspec}")

    @staticmethod
    def get_class(class_name):
        """The class that a session file names, or None."""
        if class_name == "LatentTool":
            from .tools.latent import LatentTool

            return LatentTool
        from . import models

        return models.SAVED_CLASSES.get(class_name)


bundle_api = _HeteroAPI()
