"""A Fourier shell correlation as a table and as a picture."""

from pathlib import Path

import pandas as pd

from hetero.files import atomic_path
from hetero.maps.fsc import FSC

THRESHOLDS = (0.143, 0.5)
_LABELS = {
    "fsc": "unmasked",
    "fsc_masked": "under the mask",
    "fsc_randomised": "phases randomised",
    "fsc_corrected": "corrected for the mask",
}


def fsc_table(fsc: FSC) -> pd.DataFrame:
    """A row a shell: ``frequency`` (1/Å), ``resolution`` (Å), ``fsc`` and, with a mask, the other three curves."""
    curves = (fsc.unmasked, fsc.masked, fsc.randomised, fsc.corrected)
    table = {"frequency": fsc.frequency, "resolution": 1 / fsc.frequency}
    table |= {name: curve for name, curve in zip(_LABELS, curves, strict=True) if curve is not None}
    return pd.DataFrame(table)


def write_fsc(path: Path | str, fsc: FSC) -> None:
    """Write :func:`fsc_table` as ``.csv``."""
    with atomic_path(path) as temporary:
        fsc_table(fsc).to_csv(temporary, index=False, float_format="%.6g")


def draw_fsc(path: Path | str, fsc: FSC, title: str) -> None:
    """Draw the curves, and where the best of them falls below 0.143 and 0.5, as a PNG."""
    from matplotlib.figure import Figure

    table = fsc_table(fsc)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.subplots()
    ax.axhline(0, color="0.6", lw=0.8)
    for name in table.columns[2:]:
        bold = name == table.columns[-1]
        ax.plot(table["frequency"], table[name], lw=2.2 if bold else 1.1, label=_LABELS[name], zorder=3 if bold else 2)
    for threshold in THRESHOLDS:
        resolution = fsc.resolution(threshold)
        ax.axhline(threshold, color="0.5", lw=0.8, ls="--")
        if resolution is not None:
            ax.axvline(1 / resolution, color="0.5", lw=0.8, ls=":")
        text = "not crossed" if resolution is None else f"{resolution:.3g} Å"
        ax.annotate(f"{threshold:g}: {text}", (0, threshold), xytext=(4, 3), textcoords="offset points", fontsize=9)
    ticks = ax.get_xticks()
    ticks = ticks[(ticks > 0) & (ticks <= fsc.frequency[-1])]
    ax.set_xticks(ticks, [f"{1 / t:.3g}" for t in ticks])
    ax.set(xlabel="resolution / Å", ylabel="Fourier shell correlation", xlim=(0, fsc.frequency[-1]), ylim=(-0.15, 1.05))
    ax.set_title(title)
    ax.legend(frameon=False, loc="lower left", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
