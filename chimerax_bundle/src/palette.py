"""Colours: of groups, and of numbers."""

import numpy as np

# the engine's (hetero.maps.blocks), in which its pictures draw clusters and classes
PALETTE = (
    "#ee6677", "#228833", "#4477aa", "#ccbb44", "#66ccee", "#aa3377", "#ee7733",
    "#332288", "#dd99cc", "#44aa99", "#7a5230", "#a0d568", "#9970ff",
)  # fmt: skip


def class_color(label):
    """``#rrggbb`` of a class, counted from 1."""
    return PALETTE[(label - 1) % len(PALETTE)]


def class_rgba(label):
    """r, g, b, a in [0, 1] of a class, counted from 1."""
    return (*(value / 255 for value in bytes.fromhex(class_color(label)[1:])), 1.0)


# dark to light, even in brightness to the eye (viridis, at nine places)
_STOPS = np.array(
    [
        (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99),
        (170, 220, 50), (253, 231, 37),
    ],
    dtype=float,
)  # fmt: skip
RAMP = np.stack([np.interp(np.linspace(0, 8, 256), np.arange(9), _STOPS[:, i]) for i in range(3)], axis=1).astype(
    np.uint8
)
"""``(256, 3)`` uint8: colours of numbers, from the lowest to the highest."""
