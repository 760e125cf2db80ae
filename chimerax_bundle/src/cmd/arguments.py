"""Arguments that the commands share."""

import os

from chimerax.core.commands import FileNameArg
from chimerax.core.errors import UserError
from chimerax.map import MapsArg


class OpenMapsArg(MapsArg):
    """Maps by model numbers; numbers that name no open map are an error here, and not an empty list."""

    name = "a density maps specifier"

    @classmethod
    def parse(cls, text, session):
        """Maps, the text that named them, and the rest of the command.

        Raises:
            UserError: no open map has these numbers.
        """
        maps, used, rest = super().parse(text, session)
        if not maps:
            raise UserError(f"No open map is called {used}; give the number of a map, as #1 or #1-50.")
        return maps, used, rest


class PathArg(FileNameArg):
    """A file or folder. Whether it is there, and what it is, the engine says."""

    name = "a file or folder name"

    @classmethod
    def parse(cls, text, session):
        """The absolute path, the text that named it, and the rest of the command."""
        path, used, rest = super().parse(text, session)
        return os.path.abspath(path), used, rest


def given(**options):
    """Those of a command's options that were said, as settings of the engine."""
    return {name: value for name, value in options.items() if value is not None}


def one_map(maps, what="Blocks are painted onto one map"):
    """The only map of ``maps``; ``what`` begins the sentence.

    Raises:
        UserError: there are more.
    """
    if len(maps) > 1:
        raise UserError(f"{what}, and {len(maps)} were named: {maps[0]} to {maps[-1]}.")
    return maps[0]
