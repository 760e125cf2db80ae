"""A picture of several volumes from one side, each with its name. Knows no Qt."""

from pathlib import Path

import numpy as np

from hetero.files import atomic_path
from napari_hetero.grid import MOST

ACROSS, SIDE = 4, 320  # columns, pixels of each
_ROOM = 22  # pixels for a name


def write_contact_sheet(path: Path | str, session) -> list[str]:
    """Write a PNG of up to 12 volumes, evenly spaced in the present order, by the present camera; answers with names.

    The volume on screen is the same afterwards.

    Args:
        session: a :class:`napari_hetero.session.Session` with an ensemble.

    Raises:
        HeteroError: the file cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    model = session.ensemble
    volumes = model.evenly(MOST)
    before, names, grid = model.index, [], session.grid
    down = -(-len(volumes) // ACROSS)
    sheet = Image.new("RGB", (min(ACROSS, len(volumes)) * SIDE, down * (SIDE + _ROOM)))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    with atomic_path(path) as temporary:
        session.set_grid(None)
        for place, index in enumerate(volumes):
            model.go_to(index)
            seen = session.viewer.screenshot(size=(SIDE, SIDE), canvas_only=True, flash=False)
            x, y = place % ACROSS * SIDE, place // ACROSS * (SIDE + _ROOM)
            sheet.paste(Image.fromarray(np.ascontiguousarray(seen[..., :3])).resize((SIDE, SIDE)), (x, y + _ROOM))
            draw.text((x + 6, y + 3), model.title_of(index), font=font, fill=(230, 230, 230))
            names.append(model.name)
        model.go_to(before)
        session.set_grid(grid)
        sheet.save(temporary, format="PNG")
    return names
