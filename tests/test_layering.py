"""Who may import whom (docs/architecture.md), read from the code's imports, those inside functions too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGINE = ROOT / "engine" / "hetero"
BASE = {
    "hetero",
    "hetero.checkpoints",
    "hetero.earlier",
    "hetero.errors",
    "hetero.files",
    "hetero.foreign",
    "hetero.locks",
    "hetero.parallel",
    "hetero.parts",
    "hetero.pickles",
    "hetero.progress",
    "hetero.threads",
}
VIEWERS = {
    "napari",
    "napari_hetero",
    "magicgui",
    "qtpy",
    "PyQt5",
    "PyQt6",
    "PySide6",
    "superqt",
    "vispy",
    "chimerax",
    "Qt",
}

# room -> the rooms of the engine that it may import, besides itself and the base
ENGINE_ROOMS = {
    "maps": set(),
    "level": {"maps"},
    "siren": {"maps"},
    "occupancy": {"maps"},
    "particles": {"maps"},
    "latent": {"maps"},
    "training": set(),
    "linear": {"latent", "particles", "maps"},
    "drgn": {"training", "latent", "linear", "particles", "maps"},
    "gmm": {"training", "latent", "particles", "maps"},
    "data": set(),
    "commands": {
        "maps",
        "level",
        "siren",
        "occupancy",
        "particles",
        "latent",
        "drgn",
        "gmm",
        "linear",
        "training",
        "data",
    },
    "cli.py": {"commands", "maps", "serve"},
    "serve.py": {"commands", "maps"},
    "__main__.py": {"cli"},
    "__init__.py": set(),
    "checkpoints.py": set(),
    "earlier.py": set(),
    "errors.py": set(),
    "files.py": set(),
    "foreign.py": set(),
    "locks.py": set(),
    "parallel.py": set(),
    "parts.py": set(),
    "pickles.py": set(),
    "progress.py": set(),
    "threads.py": set(),
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or "chimerax_bundle" in path.parts, f"{path}: relative imports hide their room"
            if node.module == "hetero":  # from hetero import siren
                found |= {f"hetero.{alias.name}" for alias in node.names if not alias.name.startswith("__")}
            elif node.level == 0:
                found.add(node.module)
    return found


def python_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def test_every_room_of_the_engine_has_a_rule():
    rooms = {p.name for p in ENGINE.iterdir() if p.name != "__pycache__" and (p.is_dir() or p.suffix == ".py")}
    assert rooms == set(ENGINE_ROOMS)


@pytest.mark.parametrize("room", ENGINE_ROOMS)
def test_engine_arrows_go_one_way(room):
    allowed = {f"hetero.{name}" for name in ENGINE_ROOMS[room] | {room.removesuffix(".py")}} | BASE
    for path in python_files(ENGINE / room):
        for name in imports(path):
            top, *rest = name.split(".")
            assert top not in VIEWERS, f"{path} imports {name}: the engine knows no viewer"
            if top == "hetero":
                assert ".".join([top, *rest[:1]]) in allowed, f"{path} may not import {name}"


def test_napari_plugin_asks_commands_and_maps_only():
    allowed = BASE | {"hetero.commands", "hetero.maps"}
    science = {"torch", "sklearn", "umap", "networkx", "scipy"}
    files = python_files(ROOT / "napari_plugin" / "napari_hetero")
    assert files
    for path in files:
        for name in imports(path):
            top, *rest = name.split(".")
            assert top not in science, f"{path} imports {name}: viewers hold no science"
            assert top != "chimerax"
            if top == "hetero":
                assert ".".join([top, *rest[:1]]) in allowed, f"{path} may not import {name}"


def test_chimerax_bundle_imports_neither_engine_nor_torch():
    files = python_files(ROOT / "chimerax_bundle" / "src")
    assert files
    foreign = {"hetero", "torch", "sklearn", "mrcfile", "pandas", "napari"}  # numpy and scipy are ChimeraX's own
    for path in files:
        for name in imports(path):
            assert name.split(".")[0] not in foreign, f"{path} imports {name}"


def test_rooms_import_without_torch():
    rooms = "maps, particles, latent, siren, occupancy, level, cli, serve"
    code = f"from hetero import {rooms}; import sys; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_plugin_imports_neither_torch_nor_qt():
    code = (
        "import sys, napari_hetero, napari_hetero.readers; "
        "print([m for m in ('torch', 'qtpy', 'PyQt6', 'napari', 'dask', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
