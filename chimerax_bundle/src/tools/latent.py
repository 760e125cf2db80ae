"""The latent panel: the particles of a run as a plane; click for a map, lasso for particles."""

import numpy as np
from chimerax.core.errors import UserError
from chimerax.core.models import MODEL_DISPLAY_CHANGED, REMOVE_MODELS
from Qt.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ..cmd import latent as command
from ..models.places import places_of
from .canvas import Canvas
from .latest import LatestWins
from .panel import Panel, row_of

_DENSITY = "density"
_CLUSTERS = 20  # as many as 'hetero analyze' and 'hetero decode center' take


class LatentTool(Panel):
    """The panel of one run: places come from the engine, maps by typed commands.

    Attributes:
        run: the RunModel.
        volume: the map that clicks change, None until the first click.
        canvas: the plane.
    """

    SESSION_SAVE = True
    help = "help:user/commands/hetero.html#latent"

    def __init__(self, session, name, run=None, columns=None, color=None, volume=None):
        super().__init__(session, name)
        self.run, self.volume = run, volume
        self.display_name = f"Latents of {run.name}"
        self._decode = LatestWins(self._decode_at)
        self.canvas = Canvas()
        self.canvas.clicked = lambda x, y: self._decode((x, y, True))
        self.canvas.dragged = lambda x, y: self._decode((x, y, False))
        self.canvas.lassoed = self._lassoed
        self._build(self.tool_window.ui_area)
        run.watchers.append(self.show)
        self._handlers.append(session.triggers.add_handler(REMOVE_MODELS, self._models_closed))
        self.show_columns(columns, color)
        self.watch(MODEL_DISPLAY_CHANGED)
        self.tool_window.manage("side")

    @property
    def columns(self):
        """Names of the two columns that are shown."""
        return [self._across.currentText(), self._up.currentText()]

    @property
    def color(self):
        """What the points are coloured by."""
        return self._color.currentText()

    def _build(self, area):
        self._across, self._up, self._color = QComboBox(), QComboBox(), QComboBox()
        self._lasso = QPushButton("Lasso")
        self._lasso.setCheckable(True)
        self._lasso.toggled.connect(lambda on: setattr(self.canvas, "lasso", on))
        self._centers = QPushButton("Centers")
        self._centers.setCheckable(True)
        self._centers.clicked.connect(self._clusters)
        self.say("click: the map there; drag: it follows; Shift and drag: select")
        layout = QVBoxLayout(area)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(row_of(self._across, "and", self._up, "coloured by", self._color, self._centers, self._lasso))
        layout.addWidget(self.canvas, 1)
        layout.addWidget(self._said)
        self._actions = QWidget()
        actions = QHBoxLayout(self._actions)
        actions.setContentsMargins(0, 0, 0, 0)
        for text, action in (
            ("Mean map", self._mean),
            ("Reconstruct", self._reconstruct),
            ("Save particles ...", self._save),
            ("None", self._none),
        ):
            button = QPushButton(text)
            button.clicked.connect(action)
            actions.addWidget(button)
        layout.addWidget(self._actions)

    def show_columns(self, columns=None, color=None):
        """Show two columns by name, coloured by a third or by density.

        Without them those that are shown, as far as they are there still, else the first two and density.

        Raises:
            UserError: no such column, or the engine's sentence.
        """
        places = self._known = places_of(self.session, self.run)
        color = color or (self.color if self.color in places.names else _DENSITY)
        if columns is None:
            kept = set(self.columns) <= set(places.names)
            columns = self.columns if kept else (places.names[0], places.names[1 if len(places.names) > 1 else 0])
        names = [places.name_of(name) for name in columns]
        shown = _DENSITY if color == _DENSITY else places.name_of(color)
        for box, options, text in (
            (self._across, places.names, names[0]),
            (self._up, places.names, names[1]),
            (self._color, [_DENSITY, *places.names], shown),
        ):
            box.blockSignals(True)
            box.clear()
            box.addItems(options)
            box.setCurrentText(text)
            box.blockSignals(False)
        for box in (self._across, self._up, self._color):
            if not getattr(box, "_hetero_joined", False):
                box.currentTextChanged.connect(self._chosen_in_box)
                box._hetero_joined = True
        self.show()

    def refresh(self):
        """Another map of a path is shown."""
        places = places_of(self.session, self.run)
        if places is self._known:
            self._mark(places, *self.columns)
            self.canvas.update()

    def show(self):
        """Draw what is chosen: columns, colours, selected particles, decoded points, paths, centres of clusters."""
        places = places_of(self.session, self.run)
        if places is not self._known:  # a command has brought other columns
            self.show_columns()
            return
        (across, up), color = self.columns, self.color
        x, y = places.column(across), places.column(up)
        values = None if color == _DENSITY else places.column(color)
        chosen = np.isin(places.particle, self.run.chosen) if len(self.run.chosen) else None
        self.canvas.titles = (places.title(across), places.title(up))
        self._mark(places, across, up)
        self._actions.setVisible(chosen is not None)
        self.canvas.show_points(x, y, values, chosen)
        if chosen is not None:
            self.say(f"{len(self.run.chosen):,} of {len(x):,} particles selected")

    def _mark(self, places, across, up):
        """Circles for decoded maps, lines for the maps of paths, crosses for the centres of clusters."""
        marks, ways = [], {}
        for volume, point in self.run.points.items():
            where = None if volume.deleted else self._where(places, point, across, up)
            if where is None:
                continue
            series = getattr(volume, "series", None)
            if series is not None:
                ways.setdefault(series, []).append(where)
            if series is None or volume.display:  # of a path the map that is shown
                marks.append((*where, point.beyond))
        self.canvas.marks, self.canvas.ways = marks, list(ways.values())
        centres = places.place_of(places.centres, across, up).tolist() if places.centres else []
        self.canvas.centres = [(x, y, str(k)) for k, (x, y) in enumerate(centres)]
        self._centers.setChecked(bool(centres))

    def _where(self, places, point, across, up):
        """x, y of a decoded point: its own where the columns are its coordinates, else its nearest particle's."""
        own = [point.coordinate(name) for name in (across, up)]
        if None not in own:
            return own
        nearest = places.nearest(point.z) if point.nearest is None else point.nearest
        found = [] if nearest is None else places.place_of([nearest], across, up).tolist()
        return found[0] if found else None

    def _chosen_in_box(self, _text):
        self.do(f'hetero latent {self.run.atomspec} axes "{",".join(self.columns)}" color "{self.color}"')

    def _decode_at(self, item):
        x, y, said = item
        target = "" if self.volume is None or self.volume.deleted else f" to {self.volume.atomspec}"
        volume = self.do(f"hetero decode {self.run.atomspec} {self._point(x, y)}{target}", said)
        if volume is None or self.run.deleted:
            return
        self.volume = volume
        point = self.run.point_of(volume)
        beyond = "; an extrapolation, far from any particle" if point.beyond else ""
        self.say(f"{volume.name}: nearest particle {point.nearest}{beyond}")

    def _point(self, x, y):
        """The words for a place: its coordinates, or its nearest particle where the axes are not the model's."""
        across, up = self.columns
        kinds = {name.rstrip("0123456789").lower() for name in (across, up)}
        if across != up and kinds in ({"pc"}, {"z"}):
            left, right, bottom, top = self.canvas.extent
            return f"at {across}={_number(x, right - left)},{up}={_number(y, top - bottom)}"
        places = places_of(self.session, self.run)
        left, right, bottom, top = self.canvas.extent
        away = ((places.column(across) - x) / (right - left)) ** 2 + ((places.column(up) - y) / (top - bottom)) ** 2
        return f"particle {places.particle[np.nanargmin(away)]}"

    def _lassoed(self, corners):
        outline = ",".join(f"{number:.4g}" for number in np.ravel(corners))
        self.do(f'hetero select {self.run.atomspec} inside "{",".join(self.columns)}" outline {outline}')

    def _clusters(self, on):
        self.do(f"hetero latent {self.run.atomspec} clusters {_CLUSTERS if on else 0}")
        self._centers.setChecked(bool(self.canvas.centres))  # as it was, where the command ended with a sentence

    def _reconstruct(self):
        images = ""
        if not self.run.images:
            path, _ = QFileDialog.getOpenFileName(
                self.tool_window.ui_area,
                "The particles that the model was trained on",
                "",
                "Particles (*.star *.cs *.txt)",
            )
            if not path:
                return
            images = f' particles "{path}"'
        self.do(f"hetero reconstruct {self.run.atomspec} selected{images}")

    def _mean(self):
        self.do(f"hetero decode {self.run.atomspec} selected")

    def _save(self):
        path, _ = QFileDialog.getSaveFileName(
            self.tool_window.ui_area,
            "Save the selected particles' numbers",
            "",
            "Particle numbers (*.txt *.csv *.npy *.pkl)",
        )
        if path:
            self.do(f'hetero select {self.run.atomspec} save "{path}"')

    def _none(self):
        self.do(f"hetero select {self.run.atomspec} none")

    def _models_closed(self, _name, models):
        if self.run in models:
            self.delete()

    def delete(self):
        """Close the panel."""
        if self.show in self.run.watchers:
            self.run.watchers.remove(self.show)
        super().delete()

    def take_snapshot(self, session, flags):
        """Session state: which run, what is shown, and which map clicks change."""
        volume = None if self.volume is None or self.volume.deleted else self.volume
        shown = {"columns": self.columns, "color": self.color}
        return {"run": self.run, **shown, "volume": volume, "version": 1}

    @classmethod
    def restore_snapshot(cls, session, data):
        """The panel of a session file; none without a window, or where the run is gone or cannot be asked."""
        if not command.has_window(session) or data["run"] is None:
            return None
        try:
            return cls(session, "Hetero Latent", data["run"], data["columns"], data["color"], data["volume"])
        except UserError as error:
            session.logger.warning(f"The latent panel stays closed: {error}")
            return None


def _number(value, span):
    """A number as text, as fine as a ten-thousandth of ``span``."""
    step = span / 10_000
    return f"{round(value / step) * step:.5g}"
