"""What every figure stands on: the style, the colours, the interval over seeds, the stamp.

Every figure is drawn on a transparent ground in colours that can be read on white and on near-black, and draws the
interval over seeds. Small batches are SMALL, large ones LARGE, sizes between them and what belongs to both BETWEEN, a
control or a cure CONTROL, the paper PAPER, and a level or a law beside a curve TEXT. Of a number's two signs above 0 is
BETWEEN and below 0 CONTROL. No figure changes matplotlib's settings: a function that draws is `styled`, and the
settings hold while it runs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import (
    FuncFormatter,
    Locator,
    LogFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    ScalarFormatter,
    StrMethodFormatter,
)
from numpy.typing import ArrayLike

from flatlab.measure.estimate import interval
from flatlab.plots.tables import called_on, named
from flatlab.study.recorded import Result, Tier

SMALL = "#0072B2"  # small batch: Okabe and Ito's blue
LARGE = "#D55E00"  # large batch: their vermilion
BETWEEN = "#A8508F"  # what the scale from one to the other passes through, neither grey nor dark
CONTROL = "#009E73"  # a control, a cure: their bluish green
PAPER = "#8C8C8C"  # the paper's own curves, thin, behind
TEXT = "#787878"  # words and axes in a file: 4.4 to 1 on white, 4.2 to 1 on #121212; on a page, the page's text colour

# Widths of a panel in inches: alone, one of two, one of three. On a phone a point is at least a CSS pixel.
WIDE, HALF, THIRD = 4.4, 3.4, 2.9

STYLE: dict[Any, Any] = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "axes.titlecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "legend.frameon": False,
    "legend.handlelength": 2.8,  # letters: a dashed line shows its gaps beside its mark
    "svg.fonttype": "path",  # letters as shapes: the same on every machine
    "svg.hashsalt": "flatlab",  # the same figure, the same bytes
}
LEAST = 1e-3  # percent of sharpness, the smallest that is drawn
SMALLER = 10  # points: the smallest letters in a figure

styled = matplotlib.rc_context(STYLE)  # a decorator


def canvas(width: float = WIDE, height: float = 2.8, down: int = 1, **options: Any) -> Any:
    """Axes of a new figure: one, or an array of them under one another.

    Parameters
    ----------
    width, height : float
        Of the figure, in inches; `WIDE`, `HALF` or `THIRD` wide.
    down : int
        Number of axes.
    **options
        Of `matplotlib.figure.Figure.subplots`, for instance `sharex`.

    Returns
    -------
    matplotlib.axes.Axes or array of them
        The figure is their `.figure`. Pyplot does not know it, so it is shown once, by the cell that returns it.
    """
    return Figure(figsize=(width, height)).subplots(down, **options)


def plain_ticks(axis: Axis, locator: Locator | None = None) -> None:
    """Ticks of a logarithmic axis as numbers, 1,000 and not 10 to the third, and none between them; at 1, 2 and 5
    unless a locator is given, which suits a decade or two."""
    axis.set_major_locator(locator or LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def spell(axes: Axes) -> None:
    """Spell the ticks of axes that are as matplotlib has them: thousands with their comma; on logarithmic axes numbers
    where few decades can be read so, else powers of ten, and none named between them."""
    for axis in (axes.xaxis, axes.yaxis):
        if type(axis.get_major_formatter()) is ScalarFormatter and max(map(abs, axis.get_view_interval())) >= 1000:
            axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))
        if axis.get_scale() == "log" and isinstance(axis.get_major_formatter(), LogFormatter):
            low, high = sorted(axis.get_view_interval())
            if low > 1e-4 and high < 1e6:
                subs = (1, 2, 5) if high / low < 20 else (1, 3) if high / low < 200 else (1,)
                plain_ticks(axis, MaxNLocator(4) if high / low < 4 else LogLocator(subs=subs))
            axis.set_minor_formatter(NullFormatter())


def around(axes: Axes, which: Literal["x", "y"], values: ArrayLike, log: bool) -> None:
    """Limit an axis to the seeds' own values and a tenth more: the interval of two seeds can be many times
    as wide. Values that are not finite have no place."""
    seen = np.asarray(values, float)
    seen = np.log(seen) if log else seen
    seen = seen[np.isfinite(seen)]
    room = 0.1 * (np.ptp(seen) or 1)
    ends = np.array([seen.min() - room, seen.max() + room])
    axes.set(**{f"{which}lim": np.exp(ends) if log else ends})


def positive(sharpness: ArrayLike) -> np.ndarray:
    """Sharpness with a place on a logarithmic axis, where 0 has none."""
    return np.maximum(np.array(sharpness, float), LEAST)


def intervals(table: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean and half width of the 95 % interval of each column of a table, one row per seed."""
    mean, half = zip(*(interval(column) for column in np.asarray(table, float).T))
    return np.array(mean), np.array(half)


def spread(table: ArrayLike, log: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean over seeds and its 95 % interval.

    Parameters
    ----------
    table : seeds x columns
        Values.
    log : bool
        Take mean and interval of the logarithms, for values that range over decades.

    Returns
    -------
    low, mean, high : array
        One entry a column.
    """
    mean, half = intervals(np.log(table) if log else table)
    low, high = mean - half, mean + half
    return (np.exp(low), np.exp(mean), np.exp(high)) if log else (low, mean, high)


def stamp(data: str, seeds: int | Collection[int], tier: Tier | None = None) -> str:
    """Tier, data and number of seeds of a figure, in words.

    Parameters
    ----------
    data : str
        A data set's name, or any words.
    seeds : int or collection of int
        0 for a figure in which nothing is random; a number for each network where they have their own.
    tier : {"smoke", "reduced", "colab", "paper"}, optional
        That of a recorded result. What a page computes itself is of the smallest.
    """
    few, many = (seeds, seeds) if isinstance(seeds, int) else (min(seeds), max(seeds))
    several = f"{few} to {many}" if few < many else str(many)
    scatter = {0: "nothing random", 1: "1 seed, no interval"}.get(many, f"{several} seeds, 95 % intervals")
    return f"{tier or 'smoke'} tier · {named(data)} · {scatter}"


def stamp_of(result: Result, net: str) -> str:
    """The stamp of a figure that draws one network of a recorded result."""
    return stamp(called_on(net, result.data[net]), len(result.seeds[net]), result.tier)


def stamp_of_all(result: Result, data: str | None = None) -> str:
    """The stamp of a figure that draws every network of a recorded result; data is named by them unless it is
    given."""
    names = {named(result.data[net]) for net in result.values}
    words = names.pop() if len(names) == 1 else "each network its own data"
    return stamp(data or words, [len(result.seeds[net]) for net in result.values], result.tier)


def colours(batches: Iterable[float]) -> dict[float, str]:
    """A colour for each batch size: SMALL for the smallest, LARGE for the largest, by its logarithm between them."""
    batches = list(batches)
    scale = LinearSegmentedColormap.from_list("batch", [SMALL, BETWEEN, LARGE])
    low, high = math.log(min(batches)), math.log(max(batches))
    return {batch: to_hex(scale((math.log(batch) - low) / (high - low or 1))) for batch in batches}


def label(axes: Axes, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    """Name a curve where it is, instead of in a legend. `options` are those of `Axes.annotate`."""
    place = {"xytext": (6, 0), "textcoords": "offset points", "va": "center", "annotation_clip": False}
    axes.annotate(text, (x, y), **{"color": colour, **place, **options})


def label_ends(axes: Axes, x: float, ends: Mapping[str, tuple[float, str]]) -> None:
    """Name curves where they end, {name: (y, colour)}, one name above the other in the order of the ends, so that the
    names stand apart where the ends do not."""
    for place, (name, (y, colour)) in enumerate(sorted(ends.items(), key=lambda end: end[1][0])):
        label(axes, x, y, name, colour, xytext=(6, 14 * place - 7 * (len(ends) - 1)))


# Of words their place beside a point in points, and how they are aligned there: right, below, above, left.
BESIDE: tuple[dict[str, Any], ...] = (
    {"position": (8, -5), "ha": "left"},
    {"position": (0, -13), "ha": "center"},
    {"position": (0, 13), "ha": "center"},
    {"position": (-8, -5), "ha": "right"},
)


def off_lines(axes: Axes, levels: ContourSet, further: tuple[float, float]) -> None:
    """Move each name that stands so far to the side of its point where fewest lines run through it, or `further` points
    to its right and above where lines run through each of its sides. It comes before `name_lines`, when the axes have
    their limits."""
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    parts = [part for level in levels.get_paths() for part in level.to_polygons(closed_only=False)]
    parts += [line.get_xydata() for line in axes.lines]
    curves = [Path(axes.transData.transform(part)) for part in parts]

    def crossed(name: Text, side: Mapping[str, Any]) -> tuple[bool, int]:
        name.set(**side)
        box = name.get_window_extent()
        outside = not (axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max))
        return outside, sum(curve.intersects_bbox(box, filled=False) for curve in curves)

    sides = (*BESIDE, {"position": further, "ha": "left"})
    for name in axes.texts:
        name.set(**min(sides, key=functools.partial(crossed, name)))


def name_lines(axes: Axes, lines: ContourSet) -> None:
    """Write the level on each line of equal height where there is room: away from the edge, from words that stand there
    and from the name of another line. It comes last, when the axes have their limits."""
    words: Any = {"fontsize": SMALLER, "fmt": lambda level: f"{level:g}"}
    tried = axes.clabel(lines, inline=False, **words)
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    taken = [text.get_window_extent() for text in axes.texts if text not in tried]
    places = []
    for name in tried:
        x, y = axes.transAxes.inverted().transform(axes.transData.transform(name.get_position()))
        box = name.get_window_extent()
        if 0.04 < min(x, y) and max(x, y) < 0.96 and not any(box.overlaps(other) for other in taken):
            places.append(name.get_position())
            taken.append(box)
        name.remove()
    axes.clabel(lines, manual=places, **words)


def band(axes: Axes, x: ArrayLike, table: ArrayLike, colour: str, log: bool = False, **line: Any) -> np.ndarray:
    """Draw the mean over seeds (rows of the table) as a line and its 95 % interval as a band around it, by `spread`.

    Returns
    -------
    array
        The mean.
    """
    low, mean, high = spread(table, log)
    axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, mean, color=colour, **line)
    return mean


def dot(axes: Axes, x: float, values: Sequence[float], colour: str, log: bool = False, hollow: bool = False) -> float:
    """Draw the mean over seeds as a dot with its 95 % interval, by `spread`. Returns the mean."""
    (low,), (mean,), (high,) = spread(np.c_[values], log)
    face = "none" if hollow else colour
    axes.errorbar(x, mean, [[mean - low], [high - mean]], fmt="o", color=colour, markerfacecolor=face, capsize=3)
    return float(mean)


def change(axes: Axes, y: float, before: float, after: float, colour: str, at_first: str | None = None) -> None:
    """Draw at height y what there was before as a hollow dot, and a line from its edge to a filled one."""
    way: Any = {"arrowstyle": "-", "color": colour, "linewidth": 1.2, "shrinkA": 3, "shrinkB": 0}
    axes.annotate("", (after, y), (before, y), arrowprops=way)
    axes.plot(before, y, "o", color=at_first or colour, markerfacecolor="none")
    axes.plot(after, y, "o", color=colour)


def batch_axis(axes: Axes, batches: Iterable[int]) -> None:
    """Make x the batch size in the logarithm, with a tick at each."""
    axes.set(xscale="log", xlabel="batch size")
    axes.set_xticks(list(batches), labels=[f"{batch:,}" for batch in batches])
    axes.minorticks_off()
    axes.margins(x=0.12)


def alike(panels: Sequence[Axes]) -> None:
    """Give panels one y axis, so that they can be compared."""
    limits = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def means(groups: Mapping[int, Sequence[float]], log: bool = False) -> str:
    """The mean of each batch size, as `spread` takes it, in words: "73.1 at batch 32, 65 at batch 2,000"."""
    middle = {batch: spread(np.c_[values], log)[1][0] for batch, values in groups.items()}
    return ", ".join(f"{mean:.3g} at batch {batch:,}" for batch, mean in middle.items())
