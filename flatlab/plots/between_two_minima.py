"""The figures of the chapter Between two minima."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from flatlab.measure.paths import Path, Surface
from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.plane_of_descent import LEVELS
from flatlab.plots.style import (
    BETWEEN,
    CONTROL,
    HALF,
    LARGE,
    PAPER,
    SMALL,
    THIRD,
    WIDE,
    alike,
    band,
    canvas,
    colours,
    intervals,
    name_lines,
    spread,
    stamp,
    styled,
)
from flatlab.study import paper
from flatlab.study.claims.connections import LEAST_BARRIER
from flatlab.study.recorded import Tier

SEEN_ALONG = (("loss", "loss, nats"), ("accuracy", "accuracy, %"))
PARTS = (("train", "training", "-"), ("test", "test", "--"))


@styled
def paths(
    found: Mapping[str, Sequence[Path]],
    figure_name: Literal["fig3", "fig7"],
    data: str,
    networks: Sequence[str] = ("F1", "C1"),
    tier: Tier | None = None,
) -> Picture:
    """Figures 3 and 7: loss and accuracy along a path, every seed thin and their mean; the paper's networks in grey
    panels.

    Parameters
    ----------
    found : mapping
        {"train" or "test": a `Path` for each seed}.
    figure_name : {"fig3", "fig7"}
        "fig3" or "fig7".
    data : str
        The data set's name.
    networks : sequence of str
        Of the paper.
    tier : {"smoke", "reduced", "colab", "paper"}, optional
        At which it was recorded.

    Returns
    -------
    Picture
        One row per point of the path.
    """
    width = THIRD if networks else WIDE
    alphas = found["train"][0].alphas
    columns, told, ours = {"alpha": list(alphas)}, [], canvas(width, 4.4, 2, sharex=True)
    for part, words, style in PARTS:
        for axes, (kind, _) in zip(ours, SEEN_ALONG):
            table = [getattr(path, kind) for path in found[part]]
            for values in table:
                axes.plot(alphas, values, style, color=BETWEEN, linewidth=0.5)
            mean = band(axes, alphas, table, BETWEEN, linestyle=style)
            _, half = intervals(table)
            columns[f"{kind}, {words}, mean"], columns[f"{kind}, {words}, ±"] = mean.tolist(), half.tolist()
            told.append(course(f"{words} {kind}", alphas, mean))
    ours[0].set_title("ours   (dashed: test)")
    panels = [ours]
    for network in networks:
        panels.append(canvas(width, 4.4, 2, sharex=True))
        curve = paper.curve(figure_name, network)
        for axes, kind in zip(panels[-1], ("loss", "acc")):
            for part, _, style in PARTS:
                axes.plot(curve["alpha"], curve[f"{kind}_{part}"], style, color=PAPER, linewidth=1.2)
        panels[-1][0].set_title(f"the paper: {network}", color=PAPER)
    for panel in panels:
        for axes, (_, words) in zip(panel, SEEN_ALONG):
            _ends(axes)
            axes.set_ylabel(words)
        name_ends(panel[1])
    alt = f"Along the path, small batch at 0 and large batch at 1: {'; '.join(told)}."
    alt += f" Beside it, in grey, the paper's {' and '.join(networks)}." if networks else ""
    figures = [panel[0].figure for panel in panels]
    words = stamp(data, len(found["train"]), tier)
    return Picture(figures, rows_of(columns), words, alt, f"{figure_name}-{data}")


@styled
def between(found: Mapping[str, Sequence[Path]], data: str) -> Picture:
    """The training loss between alpha = 0 and 1 and a little beyond, logarithmic: to the large batch, and a control.

    Parameters
    ----------
    found : mapping
        {words: a `Path` for each seed}: first the line to the large batch, then its control.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per point of the path.
    """
    axes, told = canvas(height=3.2), []
    columns = {"alpha": [a for a in next(iter(found.values()))[0].alphas if -0.25 <= a <= 1.25]}
    for place, ((name, group), colour) in enumerate(zip(found.items(), (LARGE, CONTROL), strict=True)):
        inside = [[value for alpha, value in zip(path.alphas, path.loss) if -0.25 <= alpha <= 1.25] for path in group]
        mean = band(axes, columns["alpha"], inside, colour, log=True)
        axes.text(0, 1.13 - 0.1 * place, name, color=colour, transform=axes.transAxes)
        columns[name] = mean.tolist()
        told.append(course(name, columns["alpha"], mean))
    for end in (0, 1):
        axes.axvline(end, color=PAPER, linewidth=0.8, linestyle="--")
    axes.set(yscale="log", xlabel="$\\alpha$", ylabel="training loss, nats", xticks=[0, 0.5, 1])
    alt = f"Training loss in nats, logarithmic, along lines from 0 to 1 and a little beyond: {'; '.join(told)}."
    file = f"between {name}".replace(",", "")  # each control of a page has its own
    return Picture([axes.figure], rows_of(columns), stamp(data, len(group)), alt, file)


@styled
def planes(found: Mapping[int, Surface], data: str) -> Picture:
    """The training loss on a plane of two directions around each end: lines of equal loss, at the same levels.

    Parameters
    ----------
    found : mapping
        {batch size: what `flatlab.plane` finds along two `directions` of its net}, on one grid.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per point of the grid.
    """
    first, colour, panels = next(iter(found.values())), colours(found), []
    beta, alpha = np.meshgrid(first.betas, first.alphas)
    columns = {"alpha": alpha.ravel().tolist(), "beta": beta.ravel().tolist()}
    for batch, surface in found.items():
        axes = canvas(HALF, 3.2)
        lines = axes.contour(alpha, beta, surface.loss, LEVELS, colors=colour[batch], linewidths=1)
        axes.plot(0, 0, "o", color=colour[batch])
        axes.set(xlabel="$\\alpha$", ylabel="$\\beta$", title=f"around batch {batch}")
        name_lines(axes, lines)
        columns[f"loss, batch {batch}"] = np.ravel(surface.loss).tolist()
        panels.append(axes.figure)
    told = "; ".join(f"batch {batch} by {surface.rise():.2g}" for batch, surface in found.items())
    alt = f"Lines of equal training loss on a plane around each end. From its centre the loss rises most: {told} nats."
    return Picture(panels, rows_of(columns), stamp(data, 1), alt, "planes")


@styled
def barriers(found: Mapping[str, Sequence[float]], data: str, tier: Tier | None = None) -> Picture:
    """The barrier of each pair of nets as a dot, and the mean with its interval (of the logarithms), a row a kind of
    pair.

    Parameters
    ----------
    found : mapping
        {words: barriers, one per pair}.
    data : str
        The data set's name.
    tier : {"smoke", "reduced", "colab", "paper"}, optional
        At which it was recorded.

    Returns
    -------
    Picture
        One row per pair.
    """
    axes, told = canvas(height=0.55 * len(found) + 1), []
    for place, (name, values) in enumerate(found.items()):
        positive = np.maximum(values, LEAST_BARRIER)
        (low,), (middle,), (high,) = spread(np.c_[positive], log=True)
        axes.plot(positive, [place] * len(positive), "o", color=BETWEEN, markersize=3, alpha=0.8, markeredgewidth=0)
        axes.errorbar(middle, place + 0.18, xerr=[[middle - low], [high - middle]], fmt="o", color=BETWEEN, capsize=3)
        told.append(f"{name}: {middle:.2g} ({low:.2g} to {high:.2g})")
    axes.set(xscale="log", xlabel="barrier, nats", ylim=(len(found) - 0.4, -0.6))
    axes.set_yticks(range(len(found)), labels=[name.replace(", ", ",\n") for name in found])
    rows = [{"pair": name, "barrier": float(value)} for name, values in found.items() for value in values]
    alt = f"Barriers in nats on a logarithmic axis, geometric mean and 95 percent interval. {'; '.join(told)}."
    return Picture([axes.figure], rows, stamp(data, len(values), tier), alt, "barriers")


@styled
def policies(found: Mapping[str, Sequence[Path]], data: str) -> Picture:
    """The training loss along one line under several choices of BatchNorm statistics.

    Parameters
    ----------
    found : mapping
        {words: a `Path` for each seed}.
    data : str
        The data set's name.

    Returns
    -------
    Picture
        One row per point of the line.
    """
    columns, told, panels = {"alpha": list(next(iter(found.values()))[0].alphas)}, [], []
    for name, group in found.items():
        axes = canvas(THIRD)
        mean = band(axes, columns["alpha"], [path.loss for path in group], BETWEEN, log=True)
        _ends(axes)
        axes.set(yscale="log", title=name, ylabel="training loss, nats")
        name_ends(axes)
        columns[name] = mean.tolist()
        told.append(course(name, columns["alpha"], mean))
        panels.append(axes)
    alike(panels)
    alt = (
        "Training loss in nats, logarithmic, along one line from small batch at 0 to large batch at 1: "
        f"{'; '.join(told)}."
    )
    figures = [axes.figure for axes in panels]
    return Picture(figures, rows_of(columns), stamp(data, len(group)), alt, "policies")


def _ends(axes: Axes) -> None:
    """Mark where the small and the large batch are."""
    axes.axvline(0, color=SMALL, linewidth=1, alpha=0.8)
    axes.axvline(1, color=LARGE, linewidth=1, alpha=0.8)


def name_ends(axes: Axes) -> None:
    """Make x the alpha of a line, with the small batch's end named at 0 and the large one's at 1."""
    axes.set_xlabel("$\\alpha$")
    ticks = axes.set_xticks([-1, 0, 1, 2], labels=["−1", "0\nsmall", "1\nlarge", "2"])
    for tick, colour in zip(ticks[1:3], (SMALL, LARGE)):
        tick.label1.set_color(colour)
