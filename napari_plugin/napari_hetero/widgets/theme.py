"""The colours of the docks' words and lines, from napari's theme. What has a role (:func:`give_role`) follows it."""

from weakref import ref

from napari_hetero.widgets.endings import when_destroyed

DIM, PROBLEM, LINE = "dim", "problem", "line"
AXIS = "#8d96a3"  # of plots: seen on napari's dark and on its light ground
_PROBLEMS = {"dark": "#f0a35e", "light": "#8f4a00"}
_DIMMER = 0.38  # share of the ground in dim words
_FAINT = 0.7  # and in lines


def style(theme_id: str) -> str:
    """A style sheet for a dock under one of napari's themes."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_id)
    text, ground = (color.as_rgb_tuple(alpha=False) for color in (theme.text, theme.background))
    return (
        f'QLabel[role="{DIM}"] {{ color: {_mix(text, ground, _DIMMER)}; font-size: 11px; }}'
        f'QLabel[role="{PROBLEM}"] {{ color: {_PROBLEMS[theme.type]}; }}'
        f'QFrame[role="{LINE}"] {{ color: {_mix(text, ground, _FAINT)}; }}'
    )


def give_role(widget, role: str) -> None:
    """Let a label or line be drawn in the colour of a role, or in the plain one (``""``)."""
    if widget.property("role") != role:
        widget.setProperty("role", role)
        widget.style().unpolish(widget)  # Qt looks at properties only when it dresses a widget
        widget.style().polish(widget)


def follow_theme(dock, viewer) -> None:
    """Dress a dock in the colours of the viewer's theme, and anew when it changes, until Qt deletes the dock."""
    held = ref(dock)

    def dress(_event=None) -> None:
        if (found := held()) is not None:
            found.setStyleSheet(style(viewer.theme))

    viewer.events.theme.connect(dress)
    when_destroyed(dock, lambda: viewer.events.theme.disconnect(dress))
    dress()


def _mix(text: tuple, ground: tuple, share: float) -> str:
    mixed = (round((1 - share) * a + share * b) for a, b in zip(text, ground, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)
