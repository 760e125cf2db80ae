"""What the user has set for this plugin in napari's own *Preferences*: napari makes the page from ``configurations`` in
the manifest and keeps the values between sessions. Knows no Qt."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from hetero.errors import HeteroError
from napari_hetero.map_cache import MAPS

NAME = "hetero-em"
ONE_LEVEL = "one for all"
OWN_COLORS = "as in blocks.csv"
_OKABE_ITO = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_SECTIONS = ("maps", "blocks", "work")


def preferences():
    """The settings, ``.maps``, ``.blocks`` and ``.work``; the manifest's defaults where napari does not know us."""
    from napari.settings import get_plugin_settings

    return get_plugin_settings().get(NAME) or _defaults()


def follow(callback: Callable[[], None]) -> Callable[[], None]:
    """Call ``callback()`` when a setting changes, until the function that is answered is called."""
    found = preferences()
    sections = [getattr(found, name) for name in _SECTIONS if hasattr(getattr(found, name), "events")]

    def listener(_event=None) -> None:
        MAPS.megabytes = preferences().maps.cache
        callback()

    def end() -> None:
        for section in sections:
            section.events.disconnect(listener)

    for section in sections:
        section.events.connect(listener)
    MAPS.megabytes = found.maps.cache
    return end


def worker_python() -> str:
    """The Python in which the engine works.

    Raises:
        HeteroError: the one that was set is not there.
    """
    chosen = preferences().work.python.strip()
    if chosen and not Path(chosen).expanduser().is_file():
        raise HeteroError(f"{chosen} is not there; it was set as the engine's Python in napari's Preferences, Hetero.")
    return str(Path(chosen).expanduser()) if chosen else sys.executable


def lock_as_set(model) -> None:
    """Give the volumes of an ensemble (its model) one level, or their own, as was set."""
    wanted = preferences().maps.level == ONE_LEVEL
    if len(model.ensemble) > 1 and wanted != (model.locked is not None):
        with contextlib.suppress(HeteroError):  # drawing it says what is wrong
            model.lock(wanted)


def recolored(blocks):
    """Blocks (:class:`hetero.maps.Blocks`) in the colours of the palette that was set."""
    from dataclasses import replace

    palette = preferences().blocks.colors
    if palette == OWN_COLORS or not len(blocks):
        return blocks
    return replace(blocks, table=blocks.table.assign(color=_palette(palette, len(blocks))))


def _palette(name: str, n: int) -> list[str]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if name == "Okabe-Ito":
        return [_OKABE_ITO[i % len(_OKABE_ITO)] for i in range(n)]
    shades = colormaps[name]
    if shades.N < 256:  # a list of colours
        return [to_hex(shades(i % shades.N)) for i in range(n)]
    return [to_hex(shades(0.1 + 0.85 * i / max(n - 1, 1))) for i in range(n)]


def _defaults() -> SimpleNamespace:
    import yaml

    manifest = yaml.safe_load(Path(__file__).with_name("napari.yaml").read_text(encoding="utf-8"))
    sections = manifest["contributions"]["configurations"]
    return SimpleNamespace(
        **{
            key: SimpleNamespace(**{name: field["default"] for name, field in section["properties"].items()})
            for key, section in sections.items()
        }
    )
