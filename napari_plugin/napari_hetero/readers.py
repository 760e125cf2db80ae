"""What napari opens through us: a folder of maps, a folder of blocks, a trained run, a single map, Gaussians and their
motion, a table of occupancies. Heavy imports wait until one is read."""

from pathlib import Path

SUFFIXES = (".mrc", ".map", ".ccp4", ".rec")
ARROWS = "motion.csv"
_GUI = "0_gmm_parms.json"  # hetero.gmm.GUI_SETTINGS, said again as it is asked of every folder
_ARROW_COLUMNS = {"x", "y", "z", "dx", "dy", "dz"}
_UNITS = ("name", "particle")  # the first column of a table of occupancies
_MOST_OCCUPANCY = 3.0  # of what it should be; contour levels are not far from it, so their tables are told by columns
_OTHER_TABLES = {"level", "level_sd", "n_voxels", "color", "class", "cluster", "z1", "umap1", "representative"}


def get_reader(path):
    """The reader for ``path`` (str or list of str), or None, quickly, where it is not ours.

    A list of maps is not ours: which of them belong together is said by putting them into one folder.
    """
    if isinstance(path, (list, tuple)):
        if len(path) != 1:
            return None
        path = path[0]
    path = Path(path)
    if path.is_dir():
        names = {p.name for p in path.iterdir()}
        if _may_be_run(names):
            return read_later
        return read if {ARROWS, _GUI} & names or any(map(_is_map, names)) else None
    ours = _is_map(path.name) or _is_arrows(path) or _is_occupancies(path) or _is_gaussians(path)
    return read if ours else None


def read_later(path) -> list[tuple]:
    """The layer tuples of a run; where there is a screen, a placeholder now and they themselves when a thread has read
    them: torch is loaded, a map decoded and its level asked of a network.
    """
    from napari_hetero.opening import later

    path = Path(path[0] if isinstance(path, (list, tuple)) else path)
    return later(lambda: read(path), path.resolve().name)


def read(path) -> list[tuple]:
    """Layer tuples of an ensemble folder, a blocks folder, a run, a motion, a map, or a text of Gaussians; of a folder
    of EMAN2's GUI, all such texts, the first one shown.

    Raises:
        HeteroError: what lies there cannot be read; one sentence.
    """
    from hetero.maps import is_blocks_folder, open_ensemble, read_blocks
    from napari_hetero import layers

    path = Path(path[0] if isinstance(path, (list, tuple)) else path)
    if not path.is_dir():
        return [_read_file(path)]
    names = {p.name for p in path.iterdir()}
    if _may_be_run(names):
        return _read_run(path)
    if ARROWS in names:
        maps = [layers.ensemble_layer(open_ensemble(path))] if any(map(_is_map, names)) else []
        return [*maps, _read_file(path / ARROWS)]
    if _GUI in names:
        from hetero.commands.motion_space import read_gui_folder

        models = [layers.gaussians_layer(model, path / f"{model.name}.txt") for model in read_gui_folder(path)]
        for _, keywords, _ in models[1:]:
            keywords["visible"] = False
        return models
    if is_blocks_folder(path):
        return [layers.blocks_layer(read_blocks(path), path)]
    return [layers.ensemble_layer(open_ensemble(path))]


def _read_file(path: Path) -> tuple:
    from napari_hetero import layers

    suffix = path.suffix.lower()
    if suffix == ".csv":
        if not _is_arrows(path) and _is_occupancies(path):
            from hetero.commands.populations import read_occupancies

            return layers.occupancies_layer(read_occupancies(path), path)
        from hetero.commands.motion_space import read_arrows
        from napari_hetero.motion_model import MotionModel

        return layers.arrows_layer(MotionModel(read_arrows(path)), path)
    if suffix == ".txt":
        from hetero.commands.motion_space import read_gaussians

        return layers.gaussians_layer(read_gaussians(path), path)
    from hetero.maps import read_map

    return layers.map_layer(read_map(path), path)


def _read_run(folder: Path) -> list[tuple]:
    from hetero.commands.latent_space import level_of, open_space
    from napari_hetero import layers

    space = open_space(folder)
    volume = space.decode(space.centre(), space.quick_box())
    return [layers.run_layer(space, volume, level_of(volume))]


def _may_be_run(names: set[str]) -> bool:
    # Ours, or cryoDRGN's; whether it is one the engine says when it is read.
    if {"config.json", "latents.npz"} <= names:
        return True
    return bool(names & {"config.yaml", "config.pkl"}) and any(
        name.startswith("weights.") and name.endswith("pkl") for name in names
    )


def _is_map(name: str) -> bool:
    # Said again here, not asked of hetero.maps: napari calls this for every path it opens, and the engine brings
    # pandas.
    return not name.startswith(".") and name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _is_arrows(path: Path) -> bool:
    return path.suffix.lower() == ".csv" and set(_first_line(path).split(",")) >= _ARROW_COLUMNS


def _is_occupancies(path: Path) -> bool:
    """A volume or particle a row, a block a column, with shares in the first row."""
    if path.suffix.lower() != ".csv":
        return False
    header, first = (line.split(",") for line in _first_lines(path, 2))
    if header[0] not in _UNITS or set(header) & _OTHER_TABLES or not 1 < len(header) == len(first):
        return False
    try:
        return all(abs(float(word)) <= _MOST_OCCUPANCY for word in first[1:] if word)
    except ValueError:
        return False


def _is_gaussians(path: Path) -> bool:
    """Ours, or EMAN2's: shares of the box and one to three numbers more."""
    if path.suffix.lower() != ".txt":
        return False
    line = _first_line(path)
    if line.startswith("# hetero gaussians"):
        return True
    try:
        numbers = [float(word) for word in line.lstrip("#").split()]
    except ValueError:
        return False
    return 4 <= len(numbers) <= 6 and all(abs(share) <= 1 for share in numbers[:3])


def _first_line(path: Path) -> str:
    return _first_lines(path, 1)[0]


def _first_lines(path: Path, n: int) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return [file.readline(10_000).strip() for _ in range(n)]
    except (OSError, UnicodeDecodeError):
        return [""] * n
