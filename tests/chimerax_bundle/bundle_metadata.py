"""What ChimeraX's toolshed must know of the packages inside the PyPI wheel: bundle, version, commands, file formats.

Only names, which are interface facts; as few bundles as the tests and pictures need. See headless.py.
"""

_MAP_FORMATS = {"MRC density map": ("mrc", ".mrc"), "CCP4 density map": ("ccp4", ".ccp4,.map")}

_VOLUME_FILTERS = ["add", "copy", "flip", "gaussian", "multiply", "resample", "scale", "subtract", "threshold"]

_STANDARD = [
    *("alias", "camera", "close", "clip", "cofr", "color", "delete", "graphics", "hide", "lighting", "material"),
    *("rename", "select", "set", "show", "stop", "style", "transparency", "turn", "undo", "redo", "usage", "version"),
    *("view", "wait", "windowsize", "zoom", "exit"),
]

# bundle: version, package, has its own initialisation, managers, commands, providers
_BUNDLES = {
    "Core": ("1.7.1", "core", False, [], [], []),
    "DataFormats": ("1.2.2", "data_formats", False, ["data formats"], [], []),
    "OpenCommand": ("1.13.1", "open_command", False, ["open command"], ["open"], []),
    "SaveCommand": ("1.5.1", "save_command", False, ["save command"], ["save"], []),
    "Graphics": ("1.1.1", "graphics", False, [], [], []),
    "Geometry": ("1.3", "geometry", False, [], [], []),
    "DistMonitor": ("1.4.1", "dist_monitor", True, [], [], []),
    "Label": ("1.1.9", "label", True, [], ["2dlabels", "label"], []),
    "Arrays": ("1.1", "arrays", False, [], [], []),
    "AtomicLibrary": ("12.1.5", "atomic_lib", False, [], [], []),
    "PDBLibrary": ("1.0.2", "pdb_lib", False, [], [], []),
    "Atomic": ("1.49.1", "atomic", True, [], [], []),
    "CoreFormats": (
        "1.2",
        "core_formats",
        False,
        [],
        [],
        [
            "ChimeraX session :: data formats :: category:Session :: nicknames:session :: suffixes:.cxs",
            "ChimeraX session :: open command :: want_path:true",
            "ChimeraX session :: save command :: compression_okay:false",
        ],
    ),
    "ImageFormats": (
        "1.2",
        "image_formats",
        False,
        [],
        [],
        [
            "Portable Network Graphics :: data formats :: nicknames:png :: category:Image :: suffixes:.png",
            "Portable Network Graphics :: save command :: compression_okay:false",
        ],
    ),
    "MapData": (
        "2.0",
        "map_data",
        False,
        [],
        [],
        [
            f'{name} :: data formats :: nicknames:{nick} :: category:"Volume data" :: suffixes:{suffixes}'
            for name, (nick, suffixes) in _MAP_FORMATS.items()
        ],
    ),
    "Map": (
        "1.1.4",
        "map",
        True,
        [],
        ["volume", "molmap"],
        [f"{name} :: open command :: want_path:true :: batch:true" for name in _MAP_FORMATS]
        + ["MRC density map :: save command"],
    ),
    "MapFilter": ("2.0.1", "map_filter", False, [], [f"volume {name}" for name in _VOLUME_FILTERS], []),
    "MapSeries": ("2.1.1", "map_series", True, [], ["vseries"], []),
    "MapFit": ("2.0", "map_fit", False, [], [], []),
    "Mask": ("1.0.2", "mask", False, [], [], []),
    "Surface": ("1.0.1", "surface", True, [], ["surface", "surface dust"], []),
    "ColorKey": ("1.5.5", "color_key", False, [], ["key"], []),
    "HelpViewer": ("1.2.1", "help_viewer", False, [], ["help"], []),
    "Log": ("1.1.6", "log", False, [], ["log"], []),
    "PresetMgr": ("1.1", "preset_mgr", False, ["presets"], ["preset"], []),
    "StdCommands": ("1.12.4", "std_commands", True, [], _STANDARD, []),
}
_AFTER_DATA_FORMATS = ("OpenCommand", "SaveCommand")


def write(folder):
    """Write a ``*.dist-info`` folder for each bundle under ``folder`` (a Path), which then goes on ``sys.path``."""
    for name, (version, package, initialises, *_rest) in _BUNDLES.items():
        info = folder / f"ChimeraX_{name}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: ChimeraX-{name}", f"Version: {version}", f"Summary: {name}"]
        lines += [f"Classifier: ChimeraX :: {text}" for text in _classifiers(name, package, initialises)]
        (info / "METADATA").write_text("\n".join(lines) + "\n\n")
        (info / "RECORD").write_text(f"chimerax/{package}/__init__.py,,\n")
        (info / "top_level.txt").write_text("chimerax\n")


def _classifiers(name, package, initialises):
    managers, commands, providers = _BUNDLES[name][3:]
    newest = 3 if name == "Atomic" else 1  # the session version it writes
    yield f"Bundle :: Test :: 1,{newest} :: chimerax.{package} :: :: {'true' if initialises else ''}"
    yield from (f"Manager :: {manager}" for manager in managers)
    if name in _AFTER_DATA_FORMATS:
        yield "InitAfter :: manager :: ChimeraX-DataFormats"
    yield from (f"Command :: {command} :: General :: {command}" for command in commands)
    if name == "StdCommands":
        yield "Selector :: all :: everything"
    yield from (f"Provider :: {provider}" for provider in providers)
