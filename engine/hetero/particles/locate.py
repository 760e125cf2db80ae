"""Finding the stacks that a list of particles names."""

from collections.abc import Sequence
from pathlib import Path

from hetero.errors import HeteroError

_LEVELS_UP = 5


def locate_stacks(names: Sequence[str], listing: Path, datadir: Path | None = None) -> list[Path]:
    """Find each stack that ``listing`` names.

    Paths in RELION and cryoSPARC files start at the project folder, which nothing in the file names: looked for are, in
    turn, ``datadir``, the folder of ``listing`` and those above it, the working directory, and at last the bare file
    name in ``datadir`` and beside ``listing``.

    Args:
        names: distinct names, as written in the file.
        listing: the file that names them.
        datadir: where the user says they are.

    Raises:
        HeteroError: one is nowhere; says where it was looked for.
    """
    here = listing.absolute().parent
    roots = [here, *list(here.parents)[:_LEVELS_UP], Path.cwd()]
    beside = [here]
    if datadir is not None:
        if not Path(datadir).is_dir():
            raise HeteroError(f"{datadir} is no folder; the folder of the particle stacks (datadir) was expected.")
        roots.insert(0, Path(datadir))
        beside.insert(0, Path(datadir))
    found = []
    for name in names:
        path = next((p for p in _candidates(name, roots, beside) if _is_file(p[1])), None)
        if path is None:
            raise HeteroError(
                f"{listing} names the stack {name}, which is not there; looked in {roots[0]} and above; --datadir "
                "names another folder."
            )
        root, where = path
        if root in roots:  # the others most likely lie there too
            roots.remove(root)
            roots.insert(0, root)
        found.append(where)
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _candidates(name: str, roots: list[Path], beside: list[Path]):
    for root in list(roots):
        yield root, root / name
    for root in beside:
        yield None, root / Path(name).name
