"""The contrast transfer function. CONVENTIONS.md has its sign."""

from dataclasses import dataclass, fields

import numpy as np

from hetero.errors import HeteroError

_FOCUSED = 100.0  # Å; nobody records single particles this near to focus, but microns in place of Å look like it


@dataclass(frozen=True, eq=False)
class CTF:
    """Parameters of n particles; a single number stands for all of them.

    Attributes:
        defocus_u: ``(n,)`` Å along the astigmatism's axis, positive under focus.
        defocus_v: ``(n,)`` Å across it.
        angle: ``(n,)`` degrees from x towards y of the axis of ``defocus_u``.
        voltage: ``(n,)`` kV.
        cs: ``(n,)`` mm, spherical aberration.
        amplitude_contrast: ``(n,)`` share, 0 to 1.
        phase_shift: ``(n,)`` degrees, of a phase plate.
        bfactor: ``(n,)`` Å^2; the transfer falls as ``exp(-bfactor s^2 / 4)``.
        scale: ``(n,)`` factor.

    Raises:
        HeteroError: lengths that differ, or a value no microscope has: a defocus of zero without a phase plate, a
            voltage that is not positive, ...; names the first such particle, counted from 1.
    """

    defocus_u: np.ndarray
    defocus_v: np.ndarray
    angle: np.ndarray
    voltage: np.ndarray
    cs: np.ndarray
    amplitude_contrast: np.ndarray
    phase_shift: np.ndarray = 0.0
    bfactor: np.ndarray = 0.0
    scale: np.ndarray = 1.0

    def __post_init__(self):
        values = {f.name: np.atleast_1d(np.array(getattr(self, f.name), dtype=float)) for f in fields(self)}
        n = max(len(v) for v in values.values())
        for name, value in values.items():
            if value.ndim != 1 or len(value) not in (1, n):
                raise HeteroError(f"The CTF's {name} has shape {value.shape}; ({n},) was expected.")
            if not np.isfinite(value).all():
                raise HeteroError(f"The CTF's {name} of particle {_first(~np.isfinite(value))} is not finite.")
            object.__setattr__(self, name, np.broadcast_to(value, (n,)))  # read-only
        self._check()

    def _check(self) -> None:
        defocus = np.maximum(np.abs(self.defocus_u), np.abs(self.defocus_v))
        in_focus = (defocus < _FOCUSED) & (np.abs(np.sin(np.radians(self.phase_shift))) < 0.1)
        expected = {
            "voltage": (~((self.voltage > 0) & (self.voltage <= 3000)), "kV, such as 300, were"),
            "cs": (~((self.cs >= 0) & (self.cs < 100)), "mm, such as 2.7, were"),
            "amplitude_contrast": (~((self.amplitude_contrast >= 0) & (self.amplitude_contrast <= 1)), "0 to 1 was"),
            "defocus_u": (in_focus, "Å, such as 15000 (or a phase plate), were"),
        }
        for name, (wrong, what) in expected.items():
            if wrong.any():
                value = getattr(self, name)[np.argmax(wrong)]
                raise HeteroError(
                    f"The CTF's {name} is {value:g} for {np.count_nonzero(wrong):,} of {len(self):,} particles (first: "
                    f"particle {_first(wrong)}); {what} expected."
                )

    def __len__(self) -> int:
        return len(self.defocus_u)

    def __getitem__(self, indices) -> "CTF":
        """The CTF of some particles, in the order of ``indices`` (slice, integers or booleans)."""
        return CTF(**{f.name: np.atleast_1d(getattr(self, f.name)[indices]) for f in fields(self)})

    def evaluate(self, fx: np.ndarray, fy: np.ndarray) -> np.ndarray:
        """The transfer at spatial frequencies.

        ``-(sqrt(1 - w^2) sin g - w cos g) exp(-B s^2 / 4) scale`` with
        ``g = 2 pi (-defocus lambda s^2 / 2 + Cs lambda^3 s^4 / 4) - phase shift``: positive at low frequency.

        Args:
            fx, fy: ``(n or 1, ...)`` 1/Å along x and y; with a first axis of 1 they hold for all particles.

        Returns:
            ``(n, ...)`` float64. Memory: a few such arrays.
        """
        fx, fy = np.broadcast_arrays(np.asarray(fx, dtype=float), np.asarray(fy, dtype=float))
        shape = (-1,) + (1,) * (fx.ndim - 1)
        u, v, angle, w, cs, phase, bfactor, scale = (
            x.reshape(shape)
            for x in (
                self.defocus_u,
                self.defocus_v,
                np.radians(self.angle),
                self.amplitude_contrast,
                self.cs * 1e7,
                np.radians(self.phase_shift),
                self.bfactor,
                self.scale,
            )
        )
        wavelength = electron_wavelength(self.voltage).reshape(shape)
        s2 = fx**2 + fy**2
        defocus = 0.5 * (u + v + (u - v) * np.cos(2 * (np.arctan2(fy, fx) - angle)))
        gamma = 2 * np.pi * (-0.5 * defocus * wavelength * s2 + 0.25 * cs * wavelength**3 * s2**2) - phase
        value = w * np.cos(gamma) - np.sqrt(1 - w**2) * np.sin(gamma)
        if self.bfactor.any():
            value *= np.exp(-bfactor / 4 * s2)
        return value * scale

    def images(self, box: int, apix: float | np.ndarray) -> np.ndarray:
        """The transfer on the grid of ``numpy.fft.rfft2`` of an image.

        Args:
            box: pixels along each side.
            apix: Å per pixel, one number or ``(n,)``.

        Returns:
            ``(n, box, box // 2 + 1)`` float64.
        """
        apix = np.asarray(apix, dtype=float).reshape(-1, 1, 1)
        return self.evaluate(np.fft.rfftfreq(box) / apix, np.fft.fftfreq(box)[:, None] / apix)


def electron_wavelength(voltage: np.ndarray | float) -> np.ndarray:
    """Å, relativistic, of electrons accelerated by ``voltage`` kV."""
    volt = np.asarray(voltage, dtype=float) * 1e3
    return 12.2639 / np.sqrt(volt + 0.97845e-6 * volt**2)


def _first(wrong: np.ndarray) -> int:
    return int(np.argmax(wrong)) + 1
