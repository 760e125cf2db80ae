"""Gaussians as models: many small arrows or spheres in one mesh, each in its own colour, selected by a number."""

import numpy as np
from chimerax.core.models import Surface
from chimerax.surface.shapes import sphere_geometry2

_SIDES = 8  # of an arrow
_HEAD = 0.4  # share of an arrow's length that its head takes, at most
_SPHERE_TRIANGLES = 80


class GlyphsModel(Surface):
    """Arrows or spheres, one a Gaussian.

    Attributes:
        what: ``"arrows"`` or ``"spheres"``.
        values: ``(n,)`` what they are selected by: lengths in Å, or masses.
        numbers: ``(n,)`` the Gaussians' numbers in the model, from 1.
    """

    def __init__(self, name, session, what, values, numbers):
        super().__init__(name, session)
        self.what, self.values, self.numbers = what, values, numbers

    def show(self, geometry, colors):
        """Draw ``(vertices, normals, triangles)`` of :func:`arrows` or :func:`spheres`; ``colors`` ``(n, 4)`` uint8."""
        self.set_geometry(*geometry)
        self.vertex_colors = np.repeat(colors, len(geometry[0]) // len(colors), axis=0)

    def choose(self, chosen):
        """Highlight those of ``chosen`` ``(n,)`` bool, as ChimeraX's selection does."""
        self.clear_highlight()
        if chosen.any():
            self.highlighted = True
            self.highlighted_triangles_mask = np.repeat(chosen, len(self.triangles) // len(chosen))

    @property
    def chosen(self):
        """``(n,)`` bool: which are highlighted."""
        mask = self.highlighted_triangles_mask
        if mask is None:
            return np.full(len(self.values), self.highlighted)
        return mask.reshape(len(self.values), -1).any(axis=1)

    def take_snapshot(self, session, flags):
        """Session state: the mesh and its colours, and the numbers behind it."""
        numbers = {"what": self.what, "values": self.values, "numbers": self.numbers}
        return {"geometry": self.save_geometry(session, flags), **numbers, "version": 1}

    @classmethod
    def restore_snapshot(cls, session, data):
        """The model of a session file."""
        model = cls(data["what"], session, data["what"], data["values"], data["numbers"])
        model.restore_geometry(session, data["geometry"])
        return model


def spheres(centres, radii):
    """Vertices, normals and triangles of spheres at ``centres`` ``(n, 3)`` x, y, z with ``radii`` ``(n,)``."""
    points, normals, triangles = sphere_geometry2(_SPHERE_TRIANGLES)
    vertices = centres[:, None] + radii[:, None, None] * points
    return _joined(vertices, np.broadcast_to(normals, vertices.shape), triangles)


def arrows(tails, vectors, width):
    """Vertices, normals and triangles of arrows from ``tails`` ``(n, 3)`` along ``vectors`` ``(n, 3)``, none of them 0.

    Args:
        width: radius of a shaft in Å; heads are three times as wide. Short arrows are thinner.
    """
    length = np.linalg.norm(vectors, axis=1)
    along = vectors / length[:, None]
    aside = np.cross(along, np.eye(3)[np.abs(along).argmin(axis=1)])
    aside /= np.linalg.norm(aside, axis=1)[:, None]
    frame = np.stack([aside, np.cross(along, aside), along], axis=1)  # (n, 3 axes, 3)
    thick = np.minimum(width, 0.1 * length)
    head = np.minimum(_HEAD * length, 7 * thick)
    (round_, share), normal, triangles = _arrow()
    # in an arrow's own frame: radius x circle, and a share of the shaft and of the head
    place = np.empty((len(tails), len(round_), 3))
    place[..., :2] = thick[:, None, None] * round_
    place[..., 2] = (length - head)[:, None] * share[:, 0] + head[:, None] * share[:, 1]
    vertices = place @ frame + tails[:, None]
    return _joined(vertices, np.broadcast_to(normal, vertices.shape) @ frame, triangles)


def _arrow():
    """``(circle (m, 2), shares of shaft and head (m, 2)), normals (m, 3), triangles``: shaft, head, head's base."""
    angle = 2 * np.pi * np.arange(_SIDES) / _SIDES
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    flat, ones = np.zeros((_SIDES, 1)), np.ones((_SIDES, 1))
    slope = np.hypot(3, 7)
    rings = [  # circle, shaft, head, normal
        (circle, 0, 0, np.hstack([circle, flat])),
        (circle, 1, 0, np.hstack([circle, flat])),
        (3 * circle, 1, 0, np.hstack([circle * 7 / slope, ones * 3 / slope])),
        (0 * circle, 1, 1, np.hstack([circle * 7 / slope, ones * 3 / slope])),
        (3 * circle, 1, 0, np.hstack([0 * circle, -ones])),
        (0 * circle, 1, 0, np.hstack([0 * circle, -ones])),
        (circle, 0, 0, np.hstack([0 * circle, -ones])),
        (0 * circle, 0, 0, np.hstack([0 * circle, -ones])),
    ]
    here, after = np.arange(_SIDES), (np.arange(_SIDES) + 1) % _SIDES
    halves = [(here, after, after + _SIDES), (here, after + _SIDES, here + _SIDES)]
    quads = np.concatenate([np.stack(corners, axis=1) for corners in halves])
    back = quads[:, ::-1]
    triangles = np.concatenate([quads, quads + 2 * _SIDES, back + 4 * _SIDES, back + 6 * _SIDES])
    round_ = np.concatenate([ring[0] for ring in rings])
    share = np.repeat([[ring[1], ring[2]] for ring in rings], _SIDES, axis=0)
    return (round_, share), np.concatenate([ring[3] for ring in rings]), triangles


def _joined(vertices, normals, triangles):
    """One mesh of n copies ``(n, m, 3)``."""
    n, m = vertices.shape[:2]
    offsets = np.arange(n)[:, None, None] * m
    flat = (np.ascontiguousarray(array.reshape(-1, 3), np.float32) for array in (vertices, normals))
    return *flat, np.ascontiguousarray((triangles + offsets).reshape(-1, 3), np.int32)
