"""A picture of several volumes from one side, each with its name. Knows no Qt."""

from pathlib import Path

import numpy as np

from hetero.files import atomic_path

MOST, ACROSS, SIDE = 12, 4, 320  # volumes, columns, pixels of each
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
    ranks = np.unique(np.linspace(0, len(model.order) - 1, min(MOST, len(model.order))).round().astype(int))
    before, names = model.index, []
    down = -(-len(ranks) // ACROSS)
    sheet = Image.new("RGB", (min(ACROSS, len(ranks)) * SIDE, down * (SIDE + _ROOM)))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    with atomic_path(path) as temporary:
        for place, rank in enumerate(ranks):
            model.go_to(model.order[rank])
            seen = session.viewer.screenshot(size=(SIDE, SIDE), canvas_only=True, flash=False)
            x, y = place % ACROSS * SIDE, place // ACROSS * (SIDE + _ROOM)
            sheet.paste(Image.fromarray(np.ascontiguousarray(seen[..., :3])).resize((SIDE, SIDE)), (x, y + _ROOM))
            draw.text((x + 6, y + 3), _title(model), font=font, fill=(230, 230, 230))
            names.append(model.name)
        model.go_to(before)
        sheet.save(temporary, format="PNG")
    return names


def _title(model) -> str:
    if model.sorted_by is None:
        return model.name
    value = model.columns[model.sorted_by].iloc[model.index]
    return f"{model.name}  {model.sorted_by} {value:.3g}" if isinstance(value, float) else f"{model.name}  {value}"
