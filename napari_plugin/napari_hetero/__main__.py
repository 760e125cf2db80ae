"""``python -m napari_hetero FOLDER [BLOCKS_FOLDER] [--volume NAME] [--picture OUT.png]``."""

import argparse
import sys
from pathlib import Path

from hetero.errors import HeteroError


def main(arguments: list[str] | None = None) -> int:
    """Open napari; 0 when done, 1 for bad input."""
    parser = argparse.ArgumentParser(
        "python -m napari_hetero", description="Open a folder of maps in napari, with blocks over them."
    )
    parser.add_argument("folder", type=Path, help="folder of maps")
    parser.add_argument("blocks", type=Path, nargs="?", help="folder of blocks or masks on the same grid")
    parser.add_argument("--volume", help="name of the volume to begin with")
    parser.add_argument("--picture", type=Path, help="write a PNG of the window and close")
    chosen = parser.parse_args(arguments)
    from napari_hetero.show import show_demo

    try:
        show_demo(chosen.folder, chosen.blocks, chosen.picture, _index(chosen.folder, chosen.volume))
    except HeteroError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _index(folder: Path, name: str | None) -> int:
    if name is None:
        return 0
    from hetero.maps import open_ensemble

    names = open_ensemble(folder).names
    if name not in names:
        raise HeteroError(f"{folder} holds no volume called {name}; it holds {', '.join(names[:5])} ...")
    return names.index(name)


if __name__ == "__main__":
    sys.exit(main())
