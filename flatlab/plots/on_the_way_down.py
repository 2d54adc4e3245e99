"""The figures of the chapter On the way down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.results import frame
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    BETWEEN,
    HALF,
    LARGE,
    SMALL,
    TEXT,
    WIDE,
    band,
    canvas,
    label,
    plain_ticks,
    positive,
    spread,
    stamp,
    stamp_of,
    styled,
)
from flatlab.study import columns
from flatlab.study.columns import phi_series, series
from flatlab.study.recorded import Result

BATCHES = (("SB", "small batch", SMALL, "-"), ("LB", "large batch", LARGE, "--"))


@styled
def by_epoch(result: Result, net: str, start: int = 0) -> Slides:
    """Sharpness against the training loss on the way down, one epoch at a time.

    Parameters
    ----------
    result : Result
        Of `fig6`.
    net : str
        One of the result's.
    start : int
        The first position.

    Returns
    -------
    Slides
        A position and a row for each epoch that was kept.
    """
    axes, values = canvas(WIDE, 3.4), result.values[net]
    epochs = list(map(int, values[columns.EPOCH][0]))
    layers: list[list] = [[] for _ in epochs]
    found: dict[str, list] = {"epoch": epochs}
    told, seen = [], []
    for batch, name, colour, style in BATCHES:
        sharp = positive(values[phi_series(1e-3, batch)])
        _, loss, _ = spread(values[series(batch, columns.CROSS_ENTROPY)], log=True)
        phi = band(axes, loss, sharp, colour, log=True, linestyle=style, linewidth=1.2, label=name)
        for layer, x, y in zip(layers, loss, phi):
            layer += axes.plot(x, y, "o", color=colour, markersize=10)
        found |= {f"loss, {name}": loss.tolist(), f"phi(1e-3), {name}": phi.tolist()}
        told.append(course(f"{name}, against its loss,", loss, phi))
        seen.append(sharp.ravel())
    axes.set(xscale="log", yscale="log", xlabel="training loss, nats", ylabel="$\\phi(10^{-3})$, %")
    frame(axes, np.concatenate(seen), True)
    low, high = sorted(axes.get_xlim())
    plain_ticks(axes.xaxis, LogLocator(subs=(1,) if high > 1000 * low else (1, 3)))
    axes.invert_xaxis()
    axes.legend(labelcolor="linecolor")
    rows = rows_of(found)
    says = [
        f"After epoch {row['epoch']}: "
        + "; ".join(
            f"the {name} has a loss of {row[f'loss, {name}']:.2g} and a sharpness of {row[f'phi(1e-3), {name}']:.3g} %"
            for _, name, *_ in BATCHES
        )
        + "."
        for row in rows
    ]
    alt = f"Sharpness against the training loss, which falls to the right, both logarithmic: {'; '.join(told)}."
    picture = Picture([axes.figure], rows, stamp_of(result, net), alt, f"way-down-{result.tier}")
    return Slides(picture, layers, "Epoch", says, start)


@styled
def ratios(found: Mapping[str, Mapping[str, Sequence[float]]], words: str) -> Picture:
    """What is measured at the large batch's end over the same at the small batch's end.

    Parameters
    ----------
    found : mapping
        {network: {what was measured: the ratio of each seed}}.
    words : str
        The stamp: tiers, data and seeds.

    Returns
    -------
    Picture
        A panel for each network; one row per ratio, with its interval.
    """
    panels, rows, told = [], [], []
    most = max(max(values) for ratio in found.values() for values in ratio.values())
    least = min(min(values) for ratio in found.values() for values in ratio.values())
    for net, measured in found.items():
        axes = canvas(HALF, 1.3 + 0.45 * len(measured))
        axes.axvline(1, color=TEXT, linewidth=0.8)
        for place, (name, values) in enumerate(measured.items()):
            (low,), (mean,), (high,) = spread(np.c_[positive(values)], log=True)
            axes.errorbar(mean, place, xerr=[[mean - low], [high - mean]], fmt="none", color=BETWEEN, capsize=3)
            axes.plot(values, [place] * len(values), "o", color=BETWEEN, markersize=4, alpha=0.8)
            axes.plot(mean, place, "D", color=BETWEEN)
            rows.append({"network": net, "measured": name, "low": low, "ratio": mean, "high": high})
            told.append(f"{net}, {name} {mean:.3g}")
        axes.set_yticks(range(len(measured)), labels=list(measured))
        axes.set(xscale="log", xlim=(min(least, 1) / 2, max(most, 1) * 2), xlabel="large over small batch", title=net)
        axes.set_ylim(len(measured) - 0.5, -0.5)
        plain_ticks(axes.xaxis, LogLocator())
        panels.append(axes.figure)
    alt = f"What the large batch's end has, over the small batch's: {'; '.join(told)}."
    return Picture(panels, rows, words, alt, "ratios")


@styled
def ritz_values(found: Sequence[ArrayLike], eigenvalues: ArrayLike) -> Picture:
    """What Lanczos knows of a spectrum after each product, beside the eigenvalues.

    Parameters
    ----------
    found : sequence of arrays
        The eigenvalues of the small matrix after 1, 2, ... products.
    eigenvalues : array
        Of the large matrix.

    Returns
    -------
    Picture
        One row per product.
    """
    axes, end = canvas(WIDE, 3.2), len(found) + 2
    truth = np.sort(np.asarray(eigenvalues))
    tops = [float(np.max(values)) for values in found]
    lows = [float(np.min(values)) for values in found]
    for step, values in enumerate(found, 1):
        axes.plot([step] * len(np.asarray(values)), values, "o", color=BETWEEN, markersize=3)
    axes.plot([end] * len(truth), truth, "_", color=TEXT, markersize=14, markeredgewidth=0.8)
    label(axes, end, truth[-1], "all", TEXT, xytext=(0, 10), ha="center")
    axes.set(xlabel="products with the matrix", ylabel="eigenvalue")
    steps = list(range(1, len(found) + 1))
    rows = rows_of({"products": steps, "smallest": lows, "largest": tops})
    alt = (
        f"Dots, against the number of products: {course('the largest', steps, tops)}; "
        f"{course('the smallest', steps, lows)}. Beside them as dashes the {len(truth)} eigenvalues, from "
        f"{truth[0]:.3g} to {truth[-1]:.3g}."
    )
    return Picture([axes.figure], rows, stamp("a matrix made up for this page", 1), alt, "ritz-values")
