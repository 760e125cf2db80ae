"""Maps, ensembles and blocks that the tests make, and facts about pictures."""

import numpy as np

STEP = 2.0  # Å per voxel
COLORS = ("#ee6677", "#228833")


def blob(session, name="blob", n=32, center=(0, 0, 0)):
    """An open map in memory: a Gaussian blob of ``(n, n, n)`` voxels."""
    return in_memory(session, blob_array(n, center), name)


def in_memory(session, array, name="map", step=STEP, display=True):
    """An open map of an array (z, y, x), as a surface."""
    from chimerax.map.volume import volume_from_grid_data

    options = {"style": "surface", "open_model": False, "show_dialog": False}
    volume = volume_from_grid_data(grid(array, name, step), session, **options)
    volume.display = display
    session.models.add([volume])
    return volume


def blob_array(n=32, center=(0, 0, 0), width=40.0):
    """``(z, y, x)`` float32, a Gaussian at ``center`` (voxels from the middle, z, y, x)."""
    z, y, x = (np.mgrid[:n, :n, :n].T - n / 2 - np.array(center)).T
    return np.exp(-(x * x + y * y + z * z) / width).astype(np.float32)


def grid(array, name="map", step=STEP):
    """ChimeraX grid data of an array (z, y, x)."""
    from chimerax.map_data import ArrayGridData

    return ArrayGridData(array, step=(step,) * 3, name=name)


def write_mrc(path, array, step=STEP):
    """Write an array (z, y, x) with ChimeraX's own writer."""
    from chimerax.map_data.mrc.writemrc import write_mrc2000_grid_data

    write_mrc2000_grid_data(grid(array, path.stem, step), str(path))


def write_ensemble(folder, n=3, levels=None):
    """A folder of blobs vol_0.mrc ..., each twice as strong as the one before; levels go to ensemble.csv."""
    folder.mkdir()
    for i in range(n):
        write_mrc(folder / f"vol_{i}.mrc", blob_array() * 2**i)
    if levels is not None:
        rows = "".join(f"vol_{i},{level}\n" for i, level in enumerate(levels))
        (folder / "ensemble.csv").write_text("name,level\n" + rows)
    return folder


def write_blocks(folder, masks, step=STEP):
    """A blocks folder as the engine writes it, from bool masks (z, y, x)."""
    folder.mkdir()
    rows = ["name,mean_occupancy,color"]
    for i, mask in enumerate(masks):
        write_mrc(folder / f"block_{i:02d}.mrc", mask.astype(np.int8), step)
        rows.append(f"block_{i:02d},{0.25 + 0.5 * i},{COLORS[i % 2]}")
    (folder / "blocks.csv").write_text("\n".join(rows) + "\n")
    return folder


def halves(n=32):
    """The left and the right half (x) of a blob's core: two masks (z, y, x)."""
    core = blob_array(n) >= 0.4
    right = np.broadcast_to(np.arange(n) >= n / 2, core.shape)
    return [core & ~right, core & right]


def helix_masks(hand=1, n=48):
    """A rod along y and a helix around it, two masks (z, y, x); ``hand`` 1 turns right, -1 left."""
    z, y, x = (np.mgrid[:n, :n, :n].T - n / 2).T
    tall = np.abs(y) < 0.42 * n
    turn = np.arctan2(x, z) - hand * y * 2 * np.pi / (0.42 * n)
    radius = np.hypot(x, z)
    off = np.abs(np.angle(np.exp(1j * turn)))
    return [tall & (radius < 0.16 * n), tall & (np.abs(radius - 0.24 * n) < 0.07 * n) & (off < 0.55)]


def hex_color(rgba):
    """``#rrggbb`` of uint8 r, g, b, a."""
    return "#" + bytes(rgba[:3]).hex()


def is_command(session, words):
    """Whether ``words`` begin with a command that there is."""
    from chimerax.core.commands import cli

    command = cli.Command(session)
    command.current_text = words
    command._find_command_name(True)
    return command._ci is not None


def picture(session, run, path, width=320, height=240):
    """Save what is seen and return it: ``(h, w, 3)`` int."""
    from PIL import Image

    run(f'save "{path}" width {width} height {height} supersample 2')
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def hue_share(image, color, spread=18.0):
    """Mask of the pixels ``(h, w)`` whose hue is within ``spread`` degrees of ``color`` ("#rrggbb"), greys left out."""
    import colorsys

    wanted = colorsys.rgb_to_hsv(*(c / 255 for c in bytes.fromhex(color[1:])))[0] * 360
    r, g, b = np.moveaxis(image / 255, -1, 0)
    hue = np.degrees(np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b))
    colored = image.max(axis=-1) - image.min(axis=-1) > 40
    return colored & (np.abs((hue - wanted + 180) % 360 - 180) < spread)
