"""The contributed sample: a small simulated ensemble with its true blocks, made by the engine and kept in the
user's cache."""

from pathlib import Path

VOLUMES, BOX = 24, 40


def simulated_ensemble() -> list[tuple]:
    """Layer tuples of :data:`VOLUMES` maps of a ribosome whose outer chains come and go, and of these chains as blocks.

    Made once (a few seconds), then read from the cache folder.
    """
    from napari_hetero.readers import read

    folder = make(sample_folder())
    return [*read(folder), *read(folder / "truth")]


def sample_folder() -> Path:
    """Where the sample lies."""
    from platformdirs import user_cache_path

    from hetero import __version__

    return user_cache_path("hetero-em") / f"sample-{__version__}"


def make(folder: Path) -> Path:
    """Simulate the sample into ``folder`` unless it is there; the maps' levels are the network's."""
    from hetero.commands import level, simulate

    if not (folder / "ensemble.csv").is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        simulate.run(simulate.Settings(out=folder, volumes=VOLUMES, box=BOX))
        level.run(level.Settings(maps=(folder,), out=folder / "ensemble.csv"))
    return folder
