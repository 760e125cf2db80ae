"""The same arrows on the same map: in ChimeraX and in napari.

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python benchmarks/motion_pictures.py RUN OUT
        [--component 1] [--least 1.0] [--chimerax .venv-chimerax/bin/python]

RUN is one of hetero train-gmm. Real napari with the Motion dock and then real ChimeraX without a window (in its own
Python; its engine is HETERO_PYTHON, or this Python) each open it, work out the motion along a principal component,
leave out arrows shorter than ``--least`` Å, and draw the map in the middle of the way half-transparent. Both look along
z, y up, at the same place and as many Å wide. OUT gets ``napari.png``, ``chimerax.png``, ``both.png`` (ChimeraX on the
left) and ``window.png``, napari with its docks. Printed is what each program holds in the end, ChimeraX's read from
its mesh, napari's from its layer: arrows, maps, levels, and how many of the pixels lit in
either picture are lit in both, also with one of them mirrored or upside down, which should be far fewer.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SIDE = 900  # pixels
MIDDLE = 10  # of the dock's 21 places along the way
LIT = 40  # of 255


def in_napari(options) -> dict:
    """Pictures by napari; what it holds, x, y, z, and where it looks."""
    import napari

    from napari_hetero import layers, readers, view
    from napari_hetero.widgets.motion import MotionWidget

    viewer = napari.Viewer(show=False)
    layers.add(viewer, readers.read(options.run))
    dock = MotionWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Motion", area="right")
    viewer.show()
    viewer.window.resize(1500, 980)
    dock.way.component.setValue(options.component)
    _wait_for(dock.way.moved, dock.way.make.button.click)
    _wait_for(dock.way.moved, lambda: dock.way.slider.setValue(MIDDLE))
    dock.shortest.setValue(options.least)
    dock.gaussians.setChecked(False)
    [surface] = dock.session.layers_of("drawn")
    surface.opacity = 0.5
    arrows, shown = dock.painter.arrows, dock.session.ensemble
    tails = arrows.data[:, 0, ::-1].astype(float)
    tips = tails + arrows.data[:, 1, ::-1]
    corners = np.concatenate([tails, tips, surface.extent.world[:, ::-1]])
    middle, width = corners.min(axis=0) / 2 + corners.max(axis=0) / 2, 1.15 * np.ptp(corners[:, :2], axis=0).max()
    camera = view.camera(viewer)
    camera.set_view_direction((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    camera.center = tuple(middle[::-1])
    camera.zoom = SIDE / width
    viewer.screenshot(str(options.out / "napari.png"), size=(SIDE, SIDE), canvas_only=True, flash=False)
    camera.zoom = min(view.canvas_size(viewer)) / width
    viewer.screenshot(str(options.out / "window.png"), canvas_only=False, flash=False)
    held = {
        "numbers": arrows.features["gaussian"].to_numpy(), "tails": tails, "tips": tips,
        "lengths": arrows.features["length"].to_numpy(), "colors": arrows.edge_color[:, :3],
        "map": shown.volume.data, "level": shown.level().value, "middle": middle, "width": width,
    }  # fmt: skip
    viewer.close()
    return held


def _wait_for(signal, act, seconds=120) -> None:
    from qtpy.QtWidgets import QApplication

    came = []
    signal.connect(came.append)
    act()
    end = time.monotonic() + seconds
    while not came:
        if time.monotonic() > end:
            raise SystemExit("napari did not show the motion.")
        QApplication.processEvents()
        time.sleep(0.005)
    signal.disconnect(came.append)


def in_chimerax(options) -> None:
    """The picture by ChimeraX; what it holds goes to ``chimerax.npz``."""
    sys.path.insert(0, str(HERE.parent / "tests" / "chimerax_bundle"))
    import headless

    session = headless.start()
    from chimerax.core.commands import run as run_command
    from chimerax.geometry import translation
    from chimerax.hetero.models.places import places_of

    def run(words):
        answer = run_command(session, words)
        session.update_loop.draw_new_frame()
        return answer

    run(f"windowsize {SIDE} {SIDE}")
    opened = run(f'hetero open "{options.run}"')
    along = f"PC{options.component}"
    middle = np.percentile(places_of(session, opened).column(along), (5, 95)).mean()
    volume = run(f"hetero decode #1 at {along}={middle:.6f}")
    arrows = run(f"hetero quiver #1 component {options.component} minLength {options.least}")
    run("transparency #2 50")
    run("camera ortho")
    camera, (*center, width) = session.main_view.camera, options.look
    camera.field_width = width
    camera.position = translation((*center[:2], center[2] + 2 * width))
    run(f'save "{options.out / "chimerax.png"}" width {SIDE} height {SIDE} supersample 3')
    rings = arrows.vertices.reshape(len(arrows.values), 8, 8, 3)  # the fourth is the tip, the last the tail
    colors = arrows.vertex_colors.reshape(len(arrows.values), 64, 4)[:, 0, :3] / 255
    np.savez(
        options.out / "chimerax.npz", numbers=arrows.numbers, tails=rings[:, 7].mean(axis=1),
        tips=rings[:, 3].mean(axis=1), lengths=arrows.values, colors=colors,
        map=volume.full_matrix(), level=volume.surfaces[0].level,
    )  # fmt: skip
    session.triggers.activate_trigger("app quit", None)


def compare(napari, chimerax) -> str:
    """What both hold, side by side."""
    numbers = [held["numbers"] for held in (chimerax, napari)]
    line = "{:,} arrows in ChimeraX, {:,} in napari".format(*map(len, numbers))
    if not np.array_equal(*numbers):
        return f"{line}, NOT of the same Gaussians ({len(np.setxor1d(*numbers)):,} in one alone)"
    ends, colors, lengths = (
        max(np.abs(napari[name] - chimerax[name]).max() for name in names)
        for names in (("tails", "tips"), ("colors",), ("lengths",))
    )
    apart = np.abs(napari["map"] - chimerax["map"]).max() / napari["level"]
    return (
        f"{line}, of the same Gaussians: starts and ends at most {ends:.2g} Å apart, lengths {lengths:.2g} Å, colours "
        f"{colors:.2f} of 1; the longest {napari['lengths'].max():.1f} Å; maps at most {apart:.1g} of the level apart, "
        f"levels {chimerax['level']:.4g} and {napari['level']:.4g}"
    )


def lay_side_by_side(out) -> str:
    """Writes ``both.png``; how far the pictures are the same."""
    from PIL import Image

    pictures = [Image.open(out / f"{name}.png").convert("RGB") for name in ("chimerax", "napari")]
    both = Image.new("RGB", (2 * SIDE + 10, SIDE), "white")
    for k, picture in enumerate(pictures):
        both.paste(picture, (k * (SIDE + 10), 0))
    both.save(out / "both.png")
    inner = slice(SIDE // 4, -SIDE // 8), slice(SIDE // 8, -SIDE // 8)  # without the key and the scale bar
    one, other = (np.asarray(picture).max(axis=-1)[inner] > LIT for picture in pictures)
    shares = [(one & each).sum() / (one | each).sum() for each in (other, other[:, ::-1], other[::-1])]
    return "{:.1%} of the pixels lit in either are lit in both; one mirrored {:.1%}, upside down {:.1%}".format(*shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--component", type=int, default=1)
    parser.add_argument("--least", type=float, default=1.0)
    parser.add_argument("--chimerax", default=".venv-chimerax/bin/python")
    parser.add_argument("--look", type=json.loads, help=argparse.SUPPRESS)  # in ChimeraX: middle and width, Å
    options = parser.parse_args()
    options.run, options.out = options.run.resolve(), options.out.resolve()
    if options.look is not None:
        in_chimerax(options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    napari = in_napari(options)
    look = json.dumps([*napari.pop("middle").tolist(), float(napari.pop("width"))])
    words = [options.chimerax, __file__, *sys.argv[1:], "--look", look]
    subprocess.run(words, check=True, env={"HETERO_PYTHON": sys.executable} | os.environ)
    with np.load(options.out / "chimerax.npz") as file:
        print(compare(napari, dict(file)))
    print(lay_side_by_side(options.out))


if __name__ == "__main__":
    main()
