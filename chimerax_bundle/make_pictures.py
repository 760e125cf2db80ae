"""A picture of blocks on a map, made by real ChimeraX without a window; run it in the ChimeraX environment:

python chimerax_bundle/make_pictures.py VOLUME.mrc BLOCKS_FOLDER OUT.png

The engine is the one of HETERO_PYTHON (a Python that has hetero-em).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "chimerax_bundle"))

import headless


def commands(volume, blocks, picture):
    """The commands that a person would type for the picture."""
    return [
        "windowsize 1200 900",
        f'hetero open "{volume}"',
        f'hetero blocks "{blocks}" onto #1',
        "surface dust #1 size 40",
        "set bgColor white",
        "graphics silhouettes true width 1.5",
        "lighting soft",
        "turn y 150",
        "turn x 20",
        "view pad 0",
        "zoom 1.2",
        f'save "{picture}" width 1200 height 900 supersample 3',
    ]


def main():
    """Make the picture; ChimeraX's log goes to the terminal."""
    parser = argparse.ArgumentParser(description="Blocks on a map, as ChimeraX draws them.")
    for name in ("volume", "blocks", "picture"):
        parser.add_argument(name, type=Path)
    paths = [path.resolve() for path in vars(parser.parse_args()).values()]
    session = headless.start()
    from chimerax.core.commands import run

    for command in commands(*paths):
        run(session, command)
        session.update_loop.draw_new_frame()  # surfaces are made when a frame is drawn
    session.triggers.activate_trigger("app quit", None)
    print(f"written: {paths[-1]}")


if __name__ == "__main__":
    main()
