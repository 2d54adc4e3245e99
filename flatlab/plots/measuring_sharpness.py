"""The figures of the chapter Measuring sharpness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.style import (
    BETWEEN,
    HALF,
    LARGE,
    PAPER,
    SMALLER,
    TEXT,
    WIDE,
    alike,
    band,
    canvas,
    colours,
    dot,
    label,
    stamp,
    styled,
)
from flatlab.plots.tables import SEARCHES
from flatlab.study import paper
from flatlab.study.columns import phi as phi_column
from flatlab.study.columns import written
from flatlab.study.recorded import Tier

#: One row for each seed.
Table = Sequence[Sequence[float]]


@styled
def walls(way: Sequence[float], one: Mapping[int, Table], every: Mapping[int, Table], data: str) -> Picture:
    """The rise of the loss on the way from x to the wall of the box: one coordinate moved, then all of them.

    Parameters
    ----------
    way : sequence of float
        The share of the way, above 0.
    one, every : mapping
        {batch size: rises in percent, seeds x way}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per share of the way.
    """
    colour, columns, told, panels = colours(one), {"share of the way": list(way)}, [], []
    for title, rises in (("one coordinate, the worst", one), ("all coordinates at once", every)):
        axes = canvas(HALF)
        for batch, table in rises.items():
            mean = band(axes, way, table, colour[batch], log=True, label=f"batch {batch}")
            columns[f"{title}, batch {batch}"] = mean.tolist()
            told.append(course(f"{title}, batch {batch},", way, mean))
        axes.set(yscale="log", title=title, xlabel="share of the way to the wall", ylabel="rise, %")
        axes.legend(loc="best", labelcolor="linecolor")
        panels.append(axes)
    alike(panels)
    alt = f"The rise of the loss in percent, logarithmic, on the way to the wall of the box: {'; '.join(told)}."
    return Picture([axes.figure for axes in panels], rows_of(columns), stamp(data, len(table)), alt, "walls")


@styled
def sharpness_by_batch(
    phis: Mapping[str, Mapping[float, Mapping[int, Sequence[float]]]], rows: int, data: str, tier: Tier | None = None
) -> Picture:
    """Tables 3 and 4: sharpness against the batch as a share of the training set; the paper's F1 on MNIST in grey.

    Parameters
    ----------
    phis : mapping
        {"full space" or "random subspace": {eps: {batch size: percent, one per seed}}}.
    rows : int
        Of the training set.
    data : str
        The data set's name.
    tier : {"smoke", "reduced", "colab", "paper"}, optional
        That of a recorded result.

    Returns
    -------
    Picture
        One row per net, that is a space, eps, batch size and seed.
    """
    shares = [100 * paper.SMALL_BATCH / paper.DATA_SETS["MNIST"].train, 100 * paper.LARGE_FRACTION]
    numbers, told, panels = [], [], []
    for (space, table), printed in zip(phis.items(), (paper.TABLE3["F1"], paper.TABLE4["F1"])):
        axes = canvas(HALF, 3.6)
        for eps, hollow in zip(paper.EPSILONS, (False, True)):
            theirs = [printed[phi_column(batch, eps)] for batch in ("SB", "LB")]
            axes.errorbar(
                shares,
                [value.mean for value in theirs],
                [value.std for value in theirs],
                color=PAPER,
                linewidth=1,
                capsize=2,
                marker="o",
                markersize=4,
                markerfacecolor="none" if hollow else PAPER,
                linestyle="--" if hollow else "-",
            )
            colour = colours(table[eps])
            for batch, values in table[eps].items():
                mean = dot(axes, 100 * batch / rows, values, colour[batch], log=True, hollow=hollow)
                if not hollow:
                    # the paper's lines rise to the right of the smallest batch
                    beside = {"xytext": (-5, 7), "ha": "right"} if batch == min(table[eps]) else {"xytext": (7, 0)}
                    label(axes, 100 * batch / rows, mean, f"{batch:,}", colour[batch], size=SMALLER, **beside)
                told.append(f"{mean:.3g} at batch {batch} and eps {written(eps)} in the {space}")
                numbers += [
                    {"space": space, "eps": eps, "batch size": batch, "seed": seed, "phi, %": float(phi)}
                    for seed, phi in enumerate(values)
                ]
        axes.set(xscale="log", yscale="log", xlabel="batch, % of the training set", ylabel="$\\phi$, %", title=space)
        axes.margins(x=0.15)
        panels.append(axes)
    alike(panels)
    words = "filled: ε = 10⁻³\nhollow: ε = 5·10⁻⁴\ngrey: the paper, F1"
    panels[-1].text(0.03, 0.97, words, transform=panels[-1].transAxes, va="top", size=SMALLER)
    alt = f"Sharpness in percent against the batch size, both logarithmic: {', '.join(told)}. In grey the paper's F1."
    return Picture([axes.figure for axes in panels], numbers, stamp(data, len(values), tier), alt, "sharpness-by-batch")


@styled
def by_scale(scales: Sequence[float], phis: Mapping[int, Mapping[str, Sequence[float]]], data: str) -> Picture:
    """What two searches find when the loss is multiplied by a number, as a share of what ours finds at 1.

    Parameters
    ----------
    scales : sequence of float
        By which the loss is multiplied; one of them is 1.
    phis : mapping
        {batch size: {"lbfgs" or "scipy": percent, one a scale}}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per scale.
    """
    colour, columns, told, panels = colours(phis), {"loss multiplied by": list(scales)}, [], []
    for batch, found in phis.items():
        axes, whole = canvas(HALF), found["lbfgs"][list(scales).index(1)]
        for method, style, words in (("lbfgs", "-", "ours"), ("scipy", "--", "scipy")):
            share = [100 * value / whole for value in found[method]]
            axes.plot(scales, share, style, marker="o", markersize=4, color=colour[batch])
            columns[f"batch {batch}, {words}"] = share
            told.append(course(f"{words}, batch {batch},", scales, share))
        axes.set(xscale="log", xlabel="loss multiplied by", ylabel="$\\phi$, % of ours at 1", ylim=(-8, 115))
        axes.set_title(f"batch {batch}", color=colour[batch])
        panels.append(axes.figure)
        words = "solid: ours\ndashed: scipy's L-BFGS-B"
        axes.text(0.98, 0.06, words, ha="right", transform=axes.transAxes, size=SMALLER)
    alt = (
        f"What is found, in percent of ours at scale 1, against the number that multiplies the loss: {'; '.join(told)}."
    )
    return Picture(panels, rows_of(columns), stamp(data, 1), alt, "by-scale")


@styled
def searches(histories: Mapping[str, Mapping[int, Table]], data: str) -> Picture:
    """How the largest value found grows with the evaluations of f and its gradient.

    Parameters
    ----------
    histories : mapping
        {method: {batch size: phi in percent after each evaluation, a list a seed}}; a search that ended early keeps its
        value.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row an evaluation.
    """
    longest = max(len(curve) for tables in histories.values() for table in tables.values() for curve in table)
    full = {
        method: {
            batch: np.array([[*curve, *[curve[-1]] * (longest - len(curve))] for curve in table])
            for batch, table in tables.items()
        }
        for method, tables in histories.items()
    }
    batches = list(next(iter(full.values())))
    best = {batch: np.max([tables[batch].max(1) for tables in full.values()], 0) for batch in batches}
    colour, columns, told, panels = colours(batches), {"evaluations": list(range(1, longest + 1))}, [], []
    for method, tables in full.items():
        axes = canvas(HALF)
        for place, (batch, table) in enumerate(tables.items()):
            mean = band(axes, columns["evaluations"], 100 * table / best[batch][:, None], colour[batch])
            columns[f"{method}, batch {batch}"] = mean.tolist()
            told.append(course(f"{SEARCHES.get(method, method)}, batch {batch},", columns["evaluations"], mean))
            words = {"ha": "right", "transform": axes.transAxes, "color": colour[batch]}
            axes.text(0.97, 0.08 + 0.12 * place, f"batch {batch}", **words)
        axes.axvline(11, color=PAPER, linewidth=0.8, linestyle="--")
        axes.set(title=SEARCHES.get(method, method), xlabel="evaluations", ylabel="% of the best found")
        panels.append(axes)
    alike(panels)
    alt = f"The largest value found, in percent of the best, against the number of evaluations: {'; '.join(told)}."
    return Picture([axes.figure for axes in panels], rows_of(columns), stamp(data, len(table)), alt, "searches")


@styled
def rescaling(factors: Sequence[float], phis: Mapping[str, Mapping[int, Table]], data: str) -> Picture:
    """Sharpness of one function written with other weights: those in front of BatchNorm multiplied by a factor.

    Parameters
    ----------
    factors : sequence of float
        By which the weights are multiplied.
    phis : mapping
        {"full space" or "random subspace": {batch size: percent, seeds x factors}}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per factor.
    """
    columns, told, panels = {"factor": list(factors)}, [], []
    for space, tables in phis.items():
        colour, axes = colours(tables), canvas(HALF)
        ends: dict[int, float] = {}
        for batch, table in tables.items():
            mean = band(axes, factors, table, colour[batch], marker="o", markersize=4, log=True)
            ends[batch] = mean[-1]
            columns[f"{space}, batch {batch}"] = mean.tolist()
            told.append(course(f"{space}, batch {batch},", factors, mean))
        for batch, end in ends.items():  # the upper curve's name above its end, so that two that meet can be read
            side = "bottom" if end == max(ends.values()) else "top"
            label(axes, factors[-1], end, f"{batch:,}", colour[batch], va=side)
        axes.axvline(1, color=TEXT, linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="weights multiplied by", ylabel="$\\phi(10^{-3})$, %", title=space)
        panels.append(axes)
    alike(panels)
    for axes in panels:
        axes.set_ylim(axes.get_ylim()[0] / 3)  # room for the lower curve's name
    alt = (
        f"Sharpness in percent against the factor by which weights are multiplied, both logarithmic: {'; '.join(told)}."
    )
    return Picture([axes.figure for axes in panels], rows_of(columns), stamp(data, len(table)), alt, "rescaling")


@styled
def box_on_contours(hessian: ArrayLike, half: ArrayLike) -> Picture:
    """A box around the minimum of a parabola of two weights, over its contours, with the loss at the corners.

    Parameters
    ----------
    hessian : array, 2 x 2
        Of the parabola `y^T H y / 2`.
    half : array of 2
        The box holds each weight's move within plus or minus this.

    Returns
    -------
    Picture
        One row per corner.
    """
    H, r = np.asarray(hessian, float), np.asarray(half, float)
    axes, wide = canvas(WIDE, 3.2), 1.5 * r
    x, y = np.meshgrid(*(np.linspace(-one, one, 80) for one in wide))
    loss = (H[0, 0] * x**2 + 2 * H[0, 1] * x * y + H[1, 1] * y**2) / 2
    rise = {(a, b): float(np.array([a, b]) * r @ H @ (np.array([a, b]) * r) / 2) for a in (-1, 1) for b in (-1, 1)}
    worst = max(rise.values())
    axes.contour(x, y, loss, levels=worst * np.array([0.05, 0.25, 0.5, 0.75, 1]), colors=TEXT, linewidths=0.7)
    axes.plot(*(r[:, None] * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])), color=BETWEEN)
    axes.plot(0, 0, "+", color=TEXT)
    rows = []
    for (a, b), value in rise.items():
        top = value == worst
        axes.plot(a * r[0], b * r[1], "o", color=LARGE if top else BETWEEN)
        # a contour goes through the worst corners, so their numbers stand outside of it
        place = {"xytext": (5 * a, 8 * b), "ha": "left" if a > 0 else "right"} if top else {"xytext": (0, 11 * b)}
        label(axes, a * r[0], b * r[1], f"{value:.2f}", LARGE if top else BETWEEN, **{"ha": "center", **place})
        rows.append({"first weight": a * float(r[0]), "second weight": b * float(r[1]), "rise": value})
    axes.set(xlabel="move of the first weight", ylabel="move of the second weight")
    axes.set(xlim=(-wide[0], wide[0]), ylim=(-wide[1], wide[1]))
    mean = float(np.mean(list(rise.values())))
    alt = (
        f"A rectangle over slanting contours. At its corners the loss rises by {min(rise.values()):.2f} twice and by "
        f"{worst:.2f} twice, in the mean by {mean:.2f}. Nowhere inside is it higher than at the worst corner."
    )
    return Picture([axes.figure], rows, stamp("a parabola of two weights", 0), alt, "box-on-contours")
