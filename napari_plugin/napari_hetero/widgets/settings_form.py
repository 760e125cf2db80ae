"""A form made from a verb's own settings: a field each, its help from their docstring."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import docstring_parser
from magicgui import widgets
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

_LARGE = 1_000_000_000
_FOLDERS = ("datadir", "folder", "start")  # what is chosen in a dialog of folders


class SettingsForm(QWidget):
    """Fields for the settings of a verb. What is left as it is, or empty, is not in :meth:`values`.

    Args:
        verb: of ``hetero.commands.VERBS``.
    """

    def __init__(self, verb: str):
        super().__init__()
        from hetero.commands import load, settings_types

        cls = load(verb).Settings
        types = settings_types(cls)
        help_of = {found.arg_name: found.description or "" for found in docstring_parser.parse(cls.__doc__).params}
        self.fields: dict[str, Any] = {}
        self._untouched: dict[str, Any] = {}
        self._many = [name for name, kind in types.items() if get_origin(kind) is tuple]
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 6, 0)
        for field in dataclasses.fields(cls):
            made = _field(field, types[field.name])
            self._untouched[field.name] = made.value
            words = " ".join(help_of.get(field.name, "").split())
            label = QLabel(field.name.replace("_", " "))
            for shown in (label, made.native):
                shown.setToolTip(words)
            self.fields[field.name] = made
            form.addRow(label, made.native)

    def values(self) -> dict[str, Any]:
        """Plain JSON values of what was filled in, for :func:`hetero.commands.settings_from`."""
        changed = {name: field.value for name, field in self.fields.items() if field.value != self._untouched[name]}
        found = {name: str(value) if isinstance(value, Path) else value for name, value in changed.items()}
        found = {name: value.strip() if isinstance(value, str) else value for name, value in found.items()}
        return {name: value.split() if name in self._many else value for name, value in found.items() if value != ""}

    def put(self, values: dict[str, Any]) -> None:
        """Fill in values."""
        for name, value in values.items():
            field = self.fields[name]
            words = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            field.value = words if isinstance(field, widgets.LineEdit) else value


def _field(field: dataclasses.Field, kind: Any):
    """A widget of magicgui; a number that may be left out is a line of text, where empty means without it."""
    default = None if field.default is dataclasses.MISSING else field.default
    given = [part for part in get_args(kind) if part is not type(None)]
    plain = given[0] if len(given) == 1 and get_origin(kind) not in (Literal, tuple) else kind
    if plain is bool:
        return widgets.CheckBox(value=default, text="")
    if get_origin(plain) is Literal:
        words = list(get_args(plain))
        return widgets.ComboBox(choices=words if default else ["", *words], value=default or "")
    if plain is Path:
        return widgets.FileEdit(
            mode="d" if field.name in _FOLDERS else "w" if field.name == "out" else "r", nullable=True
        )
    if plain is int and default is not None:
        return widgets.SpinBox(value=default, min=-_LARGE, max=_LARGE)
    text = " ".join(map(str, default)) if isinstance(default, tuple) else "" if default is None else f"{default}"
    return widgets.LineEdit(value=text)
