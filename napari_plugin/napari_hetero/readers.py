"""What napari opens through us: a folder of maps, a folder of blocks, a trained run, a single map. Heavy imports wait
until one is read."""

from pathlib import Path

SUFFIXES = (".mrc", ".map", ".ccp4", ".rec")


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
        return read if _may_be_run(names) or any(map(_is_map, names)) else None
    return read if _is_map(path.name) else None


def read(path) -> list[tuple]:
    """Layer tuples of an ensemble folder, a blocks folder, a run or a map.

    Raises:
        HeteroError: what lies there cannot be read; one sentence.
    """
    from hetero.maps import is_blocks_folder, open_ensemble, read_blocks, read_map
    from napari_hetero import layers

    path = Path(path[0] if isinstance(path, (list, tuple)) else path)
    if not path.is_dir():
        return [layers.map_layer(read_map(path), path)]
    if _may_be_run({p.name for p in path.iterdir()}):
        return _read_run(path)
    if is_blocks_folder(path):
        return [layers.blocks_layer(read_blocks(path), path)]
    return [layers.ensemble_layer(open_ensemble(path))]


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
