"""Only what ChimeraX promises to keep is used of it; where there is no promise, it is written here why we use it.

`README` is ../shared/chimerax/README.md, whose calls did not change from ChimeraX 1.7 to 1.11; `SUPPORTED` are names
whose docstrings say "Supported API", by which ChimeraX means that they stay within a major version; `MANUAL` are names
on the pages of its Programming Manual, which show what has a docstring; `KEPT` has a reason for each name of the rest.
Run in another ChimeraX these tests name what is missing there.
"""

import ast
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "chimerax_bundle" / "src"
TREES = {path: ast.parse(path.read_text()) for path in SOURCE.rglob("*.py")}
NODES = [node for tree in TREES.values() for node in ast.walk(tree)]

# ChimeraX 1.7.1's own source, when it is read here
pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")

README = {
    "chimerax.core.settings": ["Settings"],
    "chimerax.core.tasks": ["Task"],
    "chimerax.core.models": ["Surface"],
    "chimerax.core.undo": ["UndoAction"],
    "chimerax.map": ["MapsArg"],
    "chimerax.map_data": ["ArrayGridData"],
    "chimerax.map_series": ["MapSeries"],
    "chimerax.map.volume": ["volume_from_grid_data"],
    "chimerax.surface.colorzone": ["color_zone"],
    "chimerax.surface.shapes": ["sphere_geometry2"],  # the module is listed
}
SUPPORTED = {
    "chimerax.geometry": ["translation"],
    "chimerax.map.volume": ["save_map"],
}
MANUAL = {
    "chimerax.core.commands": [
        *("Annotation", "AnnotationError", "BoolArg", "Bounded", "CmdDesc", "EnumOf"),
        *("FileNameArg", "FloatArg", "FloatsArg", "Int2Arg", "IntArg", "ListOf", "ModelsArg"),
        *("NoArg", "StringArg", "next_token", "register", "run"),
    ],
    "chimerax.core.models": ["Model"],
    "chimerax.core.tools": ["ToolInstance"],
    "chimerax.core.toolshed": ["BundleAPI"],
    "chimerax.map": ["Volume"],
    "chimerax.ui": ["MainToolWindow"],  # comes with the window alone, so it is not looked at here
}
KEPT = {
    "chimerax.core.errors.UserError": "the manual's own tutorials raise it",
    "chimerax.core.models.ADD_MODELS": "one of the manual's well-known triggers",
    "chimerax.core.models.REMOVE_MODELS": "as ADD_MODELS",
    "chimerax.core.models.MODEL_DISPLAY_CHANGED": "stands beside ADD_MODELS; panels would lag behind without it",
    "chimerax.core.undo.UndoState": "stands beside UndoAction; ChimeraX's own commands undo with it",
    "chimerax.map_data.open_file": "open_map makes a Volume, which takes a colour and a place among those to be drawn",
}

README_ATTRIBUTES = {
    *("full_matrix", "data", "set_parameters", "surfaces", "update_drawings"),  # of Volume
    *("level", "origin", "step", "path", "array", "values_changed"),  # of VolumeSurface and of grids
}
KEPT_ATTRIBUTES = {
    "has_mesh": "what a map looks like has no other name; set_display_style is its counterpart",
    "image_shown": "as has_mesh",
    "image_will_show": "as has_mesh",
    "show_mesh": "as has_mesh",
    "rgba": "a surface's colour, as the manual shows it; of a grid the colour that its map gets",
    "default_rgba": "what set_parameters(default_rgba=) sets",
    "region": "the step at which a map is drawn; new_region is its counterpart",
    "initial_surface_levels": "ChimeraX's first guess at a level; else only a map drawn once more would tell it",
    "ijk_to_xyz_transform": "ijk_to_xyz for one point is the same transform; blocks have many points",
    "original_origin": "whether a map still stands where its file says",
    "original_step": "as original_origin",
    "maps": "of a MapSeries: what it was made with",
    "last_shown_time": "of a MapSeries: what show_time was told",
    "set_maps": "of a MapSeries: as when it is made; in a session file the maps come after it",
    "copy_display_parameters": "of a MapSeries: here each map keeps its own level",
    "unshow_time": "as copy_display_parameters",
    "volume_closed": "as copy_display_parameters",
    "aggregate": "one undo step for a command that changes several maps",
    "block": "one undo step for a whole drag",
    "color_undo_state": "ChimeraX's own color command undoes with it; nothing else brings a zone's updates back",
}
_MODELS = {  # what every model is made of
    *("added_to_session", "color", "display", "id", "name", "position", "session", "vertex_colors", "visible"),
    *("restore_snapshot", "set_state_from_snapshot", "take_snapshot"),
}
_NOT_MEANT = {"clear", "copy", "message", "models", "settings", "show", "triggers", "volume"}
"""Ours, numpy's and Qt's of the same name."""
_CLASSES = {
    "chimerax.core.models": ["Model"],
    "chimerax.core.undo": ["Undo"],
    "chimerax.map": ["Volume", "VolumeSurface"],
    "chimerax.map_data": ["ArrayGridData", "GridData"],
    "chimerax.map_series": ["MapSeries"],
}


def imported():
    """``{module: {name, ...}}`` that the bundle imports of ChimeraX."""
    found = {}
    for node in NODES:
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.startswith("chimerax")], ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] == "chimerax":
            found.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return found


def test_every_name_of_chimerax_that_is_imported_has_its_reason(session):
    allowed = {}
    for table in (README, SUPPORTED, MANUAL):
        for module, names in table.items():
            allowed.setdefault(module, []).extend(names)
    for path in KEPT:
        module, _, name = path.rpartition(".")
        allowed.setdefault(module, []).append(name)
    assert {module: sorted(names) for module, names in allowed.items()} == {
        module: sorted(names) for module, names in imported().items()
    }


def test_every_name_of_chimerax_that_is_imported_is_there(session):
    found = {module: names for module, names in imported().items() if module != "chimerax.ui"}
    missing = [f"{m}.{name}" for m, names in found.items() for name in names if not hasattr(import_module(m), name)]
    assert sum(map(len, found.values())) > 30
    assert not missing


def test_what_is_said_of_a_name_is_true(session, shared):
    for module, names in SUPPORTED.items():
        for name in names:
            assert "Supported API" in inspect.getdoc(getattr(import_module(module), name)), name
    for module, names in MANUAL.items():
        for name in names if module != "chimerax.ui" else ():
            assert inspect.getdoc(getattr(import_module(module), name)), name
    listed = (shared / "chimerax" / "README.md").read_text(encoding="utf-8")
    for module, names in README.items():
        for name in names:
            assert re.search(rf"\b{name}\b", listed) or module in listed, name
    assert not [name for name in README_ATTRIBUTES if not re.search(rf"\b{name}\b", listed)]


def test_nothing_private_of_chimerax_is_used():
    """A private name is used only where it is one of ours: set on ``self``, defined in a class or a module here."""
    ours = {node.name for node in NODES if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in NODES:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            ours.add(node.attr)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            ours.add(node.id)
    found = [node for node in NODES if isinstance(node, ast.Attribute) and _is_private(node.attr)]
    used = {node.attr for node in found if not node.attr.startswith("_hetero_")}  # we hang these on the session
    assert len(used) > 50
    assert not used - ours
    elsewhere = {ast.unparse(node.value) for node in found if not node.attr.startswith("_hetero_")} - {"self", "cls"}
    assert elsewhere <= {"ensemble"}  # one of ours, as it is restored
    assert not [m for m, names in imported().items() if any(map(_is_private, [*m.split("."), *names]))]


def test_no_private_name_of_ours_hides_one_of_chimerax(session):
    """In classes that ChimeraX's are the bases of."""
    checked = 0
    for path, tree in TREES.items():
        if "tools" in path.parts or path.name == "__init__.py":
            continue  # panels need a window; the package's own file has no such names
        module = import_module(".".join(("chimerax.hetero", *path.relative_to(SOURCE).with_suffix("").parts)))
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            bases = [base for base in getattr(module, node.name).__mro__ if base.__module__.startswith("chimerax.")]
            bases = [base for base in bases if not base.__module__.startswith("chimerax.hetero")]
            theirs = {name for base in bases for name in _own_names(base)}
            mine = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"}
            mine |= {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            assert not {name for name in mine if _is_private(name)} & theirs, node.name
            checked += bool(bases)
    assert checked > 15


def test_what_is_used_of_models_maps_and_undo_has_its_reason(session):
    """By name: what the bundle's sources look up or override, and ChimeraX's classes have."""
    used = {node.attr for node in NODES if isinstance(node, ast.Attribute)}
    used |= {m.name for n in NODES if isinstance(n, ast.ClassDef) for m in n.body if isinstance(m, ast.FunctionDef)}
    found, documented = set(), set()
    for module, names in _CLASSES.items():
        for cls in (getattr(import_module(module), name) for name in names):
            here = {name for name in used & _own_names(cls) if not name.startswith("_")}
            found |= here
            documented |= {name for name in here if _is_documented(cls, name)}
    assert {"surfaces", "matrix", "new_region", "cell_angles", "register"} <= documented
    known = README_ATTRIBUTES | KEPT_ATTRIBUTES.keys() | _MODELS | _NOT_MEANT
    assert not sorted(found - documented - known)
    assert not sorted(known - found)


def _is_documented(cls, name):
    """Whether the manual tells of it: in a docstring of its own, or in its class's under "Attributes"."""
    thing = vars(cls).get(name)
    own = inspect.isfunction(thing) or isinstance(thing, property)
    return bool(own and inspect.getdoc(thing)) or f"\n{name} : " in (inspect.getdoc(cls) or "")


def _own_names(cls):
    """Names that a class defines, and that it sets on ``self``."""
    tree = ast.parse(inspect.getsource(cls))
    names = set(vars(cls))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
    return names


def _is_private(name):
    return name.startswith("_") and not name.startswith("__")
