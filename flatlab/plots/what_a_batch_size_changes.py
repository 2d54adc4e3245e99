"""The figures of the chapter What a batch size changes: from recorded results to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from flatlab.data import load
from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    BETWEEN,
    HALF,
    LARGE,
    SMALL,
    SMALLER,
    TEXT,
    WIDE,
    around,
    batch_axis,
    canvas,
    colours,
    dot,
    label,
    positive,
    spread,
    stamp,
    stamp_of,
    stamp_of_all,
    styled,
)
from flatlab.plots.tables import called_on, listed
from flatlab.study import columns
from flatlab.study.columns import of, phi_series, series
from flatlab.study.correlations import FITTED
from flatlab.study.recorded import Result
from flatlab.study.splits import part_of
from flatlab.training.recipe import Recipe


def batches(result: Result, net: str) -> tuple[int, int]:
    """The small and the large batch of a result in rows.

    Parameters
    ----------
    result : Result
        That has its settings.
    net : str
        One of the result's.

    Returns
    -------
    (int, int)
        Of the small and of the large batch.
    """
    rows, name = part_of(result.data[net])
    if rows is None:
        rows = len(load(name).train)  # type: ignore[arg-type]  # `splits.loaded` would make 20,000 rows to count these
    setting = result.options["settings"][net]
    small, large = (Recipe(batch_size=setting[size]).rows(rows) for size in ("small", "large"))
    return small, large


@styled
def ratio(result: Result) -> Picture:
    """Test accuracy and largest eigenvalue against batch size, at one ratio of rate to batch size and at one rate.

    Parameters
    ----------
    result : Result
        Of the experiment "ratio".

    Returns
    -------
    Picture
        One row per batch size of either way; hollow where the mean training accuracy is below `FITTED` percent.
    """
    (net, values), rows, told = next(iter(result.values.items())), [], []
    sizes = {way: list(map(int, values[of(way, columns.BATCH_SIZE)][0])) for way in (columns.RATIO, columns.RATE)}
    colour = colours(sizes[columns.RATIO] + sizes[columns.RATE])
    panels = []
    for kind, words, log in (("test", "test accuracy, %", False), (columns.CURVATURE, "$\\lambda_{\\max}$", True)):
        axes, seen = canvas(HALF, 3.1), []
        for way, style in ((columns.RATIO, "-"), (columns.RATE, "--")):
            table = np.array(values[series(way, kind)], float)
            trained = np.mean(values[series(way, "train")], 0)
            low, mean, high = spread(table, log)
            axes.plot(sizes[way], mean, style, color=TEXT, linewidth=1)
            for size, column, share in zip(sizes[way], table.T, trained):
                dot(axes, size, column, colour[size], log, hollow=share < FITTED)
            name = "one ratio" if way == columns.RATIO else "one rate"
            rows += rows_of(
                {
                    "measured": [kind] * len(mean),
                    "way": [name] * len(mean),
                    "batch size": sizes[way],
                    "low": low.tolist(),
                    "mean": mean.tolist(),
                    "high": high.tolist(),
                    "training accuracy": trained.tolist(),
                }
            )
            told.append(course(f"{words.replace('$', '')} at {name}", sizes[way], mean))
            seen += list(table.ravel())
        batch_axis(axes, sorted({*sizes["ratio"], *sizes["rate"]}))
        axes.tick_params(axis="x", labelsize=SMALLER)
        axes.set(ylabel=words, yscale="log" if log else "linear")
        around(axes, "y", seen, log)
        panels.append(axes)
    panels[0].set_title("solid: one ratio, dashed: one rate")
    panels[1].set_title(f"hollow: training below {FITTED:g} %")
    alt = f"Against batch size, mean over seeds: {'; '.join(told)}."
    return Picture([axes.figure for axes in panels], rows, stamp_of(result, net), alt, f"ratio-{result.tier}")


# What each batch size has for a rate -> the runs of the large and of the small batch.
RATES = {
    "one rate": ("LB", "SB"),
    "root rule": ("LB root", "SB"),
    "linear, warm-up": ("LB linear warm", "SB"),
    "large tuned": ("LB tuned", "SB"),
    "both tuned": ("LB tuned", "SB tuned"),
}


@styled
def own_rates(*results: Result) -> Picture:
    """What is left of the gap and of the difference in sharpness as the large batch gets a rate of its own.

    Parameters
    ----------
    *results : Result
        Of the experiment "learning-rate", each at its tier.

    Returns
    -------
    Picture
        Two panels of each result, the test accuracy of the large batch minus that of the small one, and their
        sharpness, large over small; one row per network, choice of the rates and panel. The largest of the large
        batches of a result is hollow.
    """
    rows: list[dict] = []
    told: list[str] = []
    panels: list[Figure] = []
    for result in results:
        net = next(iter(result.values))
        place = called_on(net, result.data[net]) if len(results) > 1 else ""
        drawn, table, words = _own_rates(result, place)
        panels += drawn
        rows += table
        told.append(f"{place + ': ' if place else ''}{'; '.join(words)}")
    alt = f"By the rate of each batch size: {'. '.join(told)}."
    name = "-".join(["own-rates", *(result.tier for result in results)])
    return Picture(panels, rows, "; ".join(map(stamp_of_all, results)), alt, name)


def _own_rates(result: Result, place: str) -> tuple[list[Figure], list[dict], list[str]]:
    """The panels of one result, whose titles begin with its place; their numbers, and these in words."""
    rows, told, panels = [], [], []
    sizes = {net: batches(result, net)[1] for net in result.values}
    nets = sorted(sizes, key=sizes.__getitem__)
    shifts = np.linspace(-0.15, 0.15, len(nets)) if len(nets) > 1 else [0.0]
    filled = listed([f"{sizes[net]:,}" for net in nets[:-1] or nets])
    title = f"filled: batch {filled}, hollow: batch {sizes[nets[-1]]:,}" if len(nets) > 1 else f"batch {filled}"
    for words, measured, log in (
        ("large − small: test accuracy, points", "test accuracy, large minus small", False),
        ("large over small: sharpness $\\phi(10^{-3})$", "sharpness, large over small", True),
    ):
        axes, ends = canvas(WIDE, 3.2 + (0.2 if place else 0)), []
        axes.axhline(1.0 if log else 0.0, color=TEXT, linewidth=0.8)
        for net, shift in zip(nets, shifts):
            values, hollow = result.values[net], len(nets) > 1 and net == nets[-1]
            means = []
            for at, (rate, pair) in enumerate(RATES.items()):
                apart = _apart(values, *pair, log)
                (low,), (mean,), (high,) = (end.tolist() for end in spread(np.c_[apart], log))
                dot(axes, at + shift, apart, LARGE, log, hollow)
                means.append(f"{rate} {mean:.3g}")
                row = {"network": net, "large batch": sizes[net], "rate": rate, "measured": measured}
                rows.append(row | {"low": low, "mean": mean, "high": high})
                ends += [low, high]
            told.append(f"{words.replace('$', '')}, batch {sizes[net]:,}: {', '.join(means)}")
        axes.set_xticks(range(len(RATES)), labels=[rate.replace(" ", "\n") for rate in RATES], size=SMALLER)
        axes.set(ylabel=words, xlim=(-0.5, len(RATES) - 0.5))
        if log:
            axes.set_yscale("log")
            around(axes, "y", ends, log)
        axes.set_title("\n".join(filter(None, [place, title])))
        panels.append(axes.figure)
    return panels, rows, told


def _apart(values: Mapping[str, list], large: str, small: str, log: bool) -> list[float]:
    """Of two runs, seed by seed: the quotient of their sharpness, or the difference of their test accuracies."""
    if log:
        return (positive(values[columns.phi(large)]) / positive(values[columns.phi(small)])).tolist()
    return (np.array(values[columns.test(large)], float) - np.array(values[columns.test(small)], float)).tolist()


@styled
def by_rate(result: Result, net: str, start: int = 2) -> Slides:
    """Test accuracy against sharpness for the small and the large batch, as the learning rate grows.

    Parameters
    ----------
    result : Result
        Of the experiment "learning-rate".
    net : str
        One of the result's.
    start : int
        The first position; 2 is the paper's rate.

    Returns
    -------
    Slides
        A position for each rate; one row per rate. The way of the means is always seen, an arrow per rate.
    """
    values, factors = result.values[net], result.values[net][columns.FACTOR][0]
    axes, found = canvas(WIDE, 3.6), {}
    layers: list[list] = [[] for _ in factors]
    table: dict[str, Any] = {"rate, in units of the paper's": factors}
    for name, size, colour in zip(("SB", "LB"), batches(result, net), (SMALL, LARGE)):
        phi = positive(values[phi_series(1e-3, name)])
        test = np.array(values[series(name, "test")], float)
        (left, x, right), (low, y, high) = spread(phi, log=True), spread(test)
        found[name] = phi, test
        for place in range(len(factors) - 1):
            way = {"arrowstyle": "->", "color": colour, "shrinkA": 3, "shrinkB": 3}
            axes.annotate("", (x[place + 1], y[place + 1]), (x[place], y[place]), arrowprops=way)
        away = {"xytext": (9, 0)} if name == "SB" else {"xytext": (0, -12), "ha": "center"}  # off the arrows
        label(axes, x[0], y[0], f"batch {size}", colour, **away)
        for place, layer in enumerate(layers):
            layer += axes.plot(phi[:, place], test[:, place], "o", color=colour, markersize=4, mew=0)
            layer += axes.plot(x[place], y[place], "o", color=colour, markersize=9)
            layer += axes.plot([left[place], right[place]], [y[place]] * 2, color=colour, linewidth=1)
            layer += axes.plot([x[place]] * 2, [low[place], high[place]], color=colour, linewidth=1)
        table |= {f"phi(1e-3), batch {size}": x.tolist(), f"test accuracy, batch {size}": y.tolist()}
    axes.set(xscale="log", xlabel="sharpness $\\phi(10^{-3})$, %", ylabel="test accuracy, %")
    around(axes, "x", np.concatenate([phi.ravel() for phi, _ in found.values()]), True)
    around(axes, "y", np.concatenate([test.ravel() for _, test in found.values()]), False)
    rows = rows_of(table)
    says = [_read(row) for row in rows]
    told = [course(name, factors, column) for name, column in table.items() if name.startswith(("phi", "test"))]
    alt = f"Test accuracy against sharpness. As the rate grows by factors: {'; '.join(told)}."
    picture = Picture([axes.figure], rows, stamp_of(result, net), alt, f"by-rate-{result.tier}")
    return Slides(picture, layers, "The learning rate", says, start)


def _read(row: dict[str, float]) -> str:
    """A position in words."""
    (_, factor), *rest = row.items()
    read = []
    for (name, phi), (_, test) in zip(rest[::2], rest[1::2]):
        read.append(f"{name.partition(', ')[2]} has a sharpness of {phi:.3g} % and a test accuracy of {test:.1f} %")
    return f"At {f'{factor:g} times ' if factor != 1 else ''}the paper's rate {', '.join(read)}."


@styled
def hovering(
    walkers: Mapping[float, ArrayLike], curvatures: tuple[float, float], rate: float, start: int = 0
) -> Slides:
    """Where noisy descent stands around the minimum of a parabola that is flat one way and steep the other.

    Parameters
    ----------
    walkers : mapping
        {rate over batch size: points x (flat, steep) after a long walk}, where the gradient of a row has an error of
        variance 1; a position of the slider for each.
    curvatures : (float, float)
        Along the flat and along the steep direction.
    rate : float
        Of every walk.
    start : int
        The first position.

    Returns
    -------
    Slides
        One row per ratio: the mean loss above the minimum, seen and by the formula, and the standard deviation each
        way.

    Notes
    -----
    In the long run the variance along a direction of curvature c is `ratio / (c (2 - rate c))`. The ellipse is drawn at
    two standard deviations.
    """
    axes, curve, angle = canvas(WIDE, 3), np.array(curvatures), np.linspace(0, 2 * np.pi, 100)
    widest = 3.2 * np.sqrt(max(walkers) / (curve * (2 - rate * curve)))
    grid = np.meshgrid(np.linspace(-widest[0], widest[0], 80), np.linspace(-widest[0], widest[0], 80))
    loss = (curve[0] * grid[0] ** 2 + curve[1] * grid[1] ** 2) / 2
    axes.contour(*grid, loss, levels=loss.max() * np.array([0.002, 0.01, 0.03, 0.08]), colors=TEXT, linewidths=0.6)
    layers, says, rows = [], [], []
    for ratio, points in walkers.items():
        at, width = np.asarray(points), np.sqrt(ratio / (curve * (2 - rate * curve)))
        seen, said = float((curve * at**2).sum(1).mean() / 2), float((curve * width**2).sum() / 2)
        ellipse = 2 * width[:, None] * np.array([np.cos(angle), np.sin(angle)])
        layers.append(
            axes.plot(*at.T, "o", color=BETWEEN, markersize=3, alpha=0.8, mew=0)
            + axes.plot(*ellipse, "--", color=TEXT, linewidth=1.4)
        )
        flat, steep = (float(one) for one in at.std(0))
        says.append(
            f"Rate over batch size {ratio:.2g}: the walk stands {seen:.2g} above the minimum, by the formula "
            f"{said:.2g}. It strays by {flat:.2g} along the flat direction and by {steep:.2g} along the steep one."
        )
        row = {"rate / batch size": float(ratio), "loss, seen": seen, "loss, formula": said}
        rows.append(row | {"flat": flat, "steep": steep})
    axes.set(xlabel="flat direction", ylabel="steep direction", aspect="equal")
    axes.set(xlim=(-widest[0], widest[0]), ylim=(-1.6 * widest[1], 1.6 * widest[1]))
    axes.set_title("dots: walkers, dashed: the formula")
    told = course("the loss above the minimum", list(walkers), [row["loss, seen"] for row in rows])
    alt = (
        "A cloud of dots around the middle of narrow contours, longer along the flat direction, and a dashed ellipse "
        f"around it. Against the rate over the batch size, {told}."
    )
    return Slides(
        Picture([axes.figure], rows, stamp("a parabola of two directions", 1), alt, "hovering"),
        layers,
        "Rate over batch size",
        says,
        start,
    )
