"""Point groups by their names."""

import re

import numpy as np

from hetero.errors import HeteroError


def symmetry_rotations(name: str) -> np.ndarray:
    """``(g, 3, 3)`` rotations of a point group: C1, C4, D7, T, O, I.

    Cn and Dn turn about z, Dn has a two-fold axis along x; T, O and I have two-fold axes along x, y and z.

    Raises:
        HeteroError: no such group.
    """
    from scipy.spatial.transform import Rotation

    name = name.strip().upper()
    if not re.fullmatch(r"[CD][1-9]\d?|T|O|I", name):
        raise HeteroError(f"There is no symmetry '{name}' here; C1, C2 ..., D2 ..., T, O or I was expected.")
    return Rotation.create_group(name).as_matrix()
