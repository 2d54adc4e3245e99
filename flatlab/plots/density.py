"""The spectral density of the Hessian at two points or more."""

from collections.abc import Mapping, Sequence

import numpy as np

from flatlab.measure.spectrum import Density
from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.style import WIDE, canvas, colours, spread, stamp, styled

SMOOTHED = 100  # the Gaussian's width is this part of the range that is drawn
DECADES = 7  # drawn below the highest density


@styled
def densities(found: Mapping[int, Sequence[Density]], data: str, points: int = 400) -> Picture:
    """How many directions have which curvature, on a logarithmic axis, since most have almost none.

    Parameters
    ----------
    found : mapping of int to sequence of Density
        {batch size: what `flatlab.density` finds at its point, one per seed}.
    data : str
        The data set's name.
    points : int
        How many are drawn.

    Returns
    -------
    Picture
        One row per point of the axis.

    Notes
    -----
    The densities were smoothed each for its own range; here all are made of their nodes anew, with one Gaussian, so
    that they can be compared.
    """
    nodes = [each.nodes for seeds in found.values() for each in seeds]
    low, high = min(float(one.min()) for one in nodes), max(float(one.max()) for one in nodes)
    sigma = (high - low) / SMOOTHED
    grid = np.linspace(low - 3 * sigma, high + 3 * sigma, points)
    tables = {batch: np.array([_smoothed(each, grid, sigma) for each in seeds]) for batch, seeds in found.items()}
    top = max(table.mean(0).max() for table in tables.values())
    floor = top / 10**DECADES
    colour, axes, columns, told = colours(found), canvas(WIDE, 3.2), {"eigenvalue": grid.tolist()}, []
    for batch, table in tables.items():
        least, mean, most = spread(table)
        axes.fill_between(grid, np.maximum(least, floor), most, color=colour[batch], alpha=0.25, linewidth=0)
        axes.plot(grid, np.where(mean > floor, mean, np.nan), color=colour[batch], label=f"batch {batch}")
        columns[f"batch {batch}"] = mean.tolist()
        if len(table) > 1:  # one seed has no interval
            columns[f"batch {batch}, ±"] = (most - mean).tolist()
        steepest = [float(each.nodes.max()) for each in found[batch]]
        told.append(f"{course(f'batch {batch},', grid, mean)}, the largest node {np.mean(steepest):.3g}")
    axes.set(yscale="log", ylim=(floor, 2 * top), xlabel="eigenvalue of the Hessian", ylabel="density")
    axes.legend(labelcolor="linecolor")
    alt = f"The spectral density, logarithmic, against the eigenvalue: {'; '.join(told)}."
    return Picture([axes.figure], rows_of(columns), stamp(data, len(table)), alt, "density")


def _smoothed(found: Density, grid: np.ndarray, sigma: float) -> np.ndarray:
    """1/probes sum over the probes' nodes of weight N(t; node, sigma^2)."""
    nodes, weights = (part.double().cpu().numpy()[..., None] for part in (found.nodes, found.weights))
    bell = np.exp(-(((grid - nodes) / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))
    return (weights * bell).sum(1).mean(0)
