"""The contributed samples: a small simulated ensemble with its true blocks, and a run of simulated particles; made by
the engine and kept in the user's cache."""

from pathlib import Path

VOLUMES, BOX = 24, 40
PARTICLES, PARTICLE_BOX = 2000, 32


def simulated_ensemble() -> list[tuple]:
    """Layer tuples of :data:`VOLUMES` maps of a ribosome whose outer chains come and go, and of these chains as blocks.

    Made once (a few seconds, in a thread where there is a screen), then read from the cache folder.
    """
    from napari_hetero.opening import later
    from napari_hetero.readers import read

    def work() -> list[tuple]:
        folder = make(sample_folder())
        return [*read(folder), *read(folder / "truth")]

    return later(work, "simulated ensemble")


def simulated_run() -> list[tuple]:
    """The layer tuple of a linear run of :data:`PARTICLES` particles of a ribosome, whose 18S RNA turns by 40 degrees:
    most have it at one of the two ends.

    Made once (a minute or so, in a thread where there is a screen), then read from the cache folder.
    """
    from napari_hetero.opening import later
    from napari_hetero.readers import read

    folder = sample_folder()
    return later(lambda: read(make_run(folder.with_name(f"{folder.name}-particles"))), "simulated particles")


def make_run(folder: Path) -> Path:
    """Simulate particles into ``folder`` and fit the run to them unless it is there; the run's folder."""
    from hetero.commands import simulate, train_linear

    run = folder / "run"
    if not (run / "latents.npz").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        made = simulate.Settings(
            out=folder / "particles", particles=PARTICLES, box=PARTICLE_BOX, blocks=("S60",), motion="rotate",
            reach=40, spread="cooperative", snr=1.0,
        )  # fmt: skip
        simulate.run(made)
        train_linear.run(train_linear.Settings(particles=made.out / "particles.star", out=run, zdim=2))
    return run


def sample_folder() -> Path:
    """Where the ensemble lies."""
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
