"""A `Result` drawn: what an experiment found along a curve, the paper's own curve thin and grey behind it.

Where the paper has a figure, but not of one of the result's networks, its figure stands beside ours in a row of its own. What is
not in DRAWINGS is single numbers: a table (`flatlab.plots.tables`).
"""

import io
import math
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from flatlab.files import write_whole
from flatlab.plots.style import BETWEEN, LARGE, PAPER, SMALL, TEXT, band, canvas, spread, stamp
from flatlab.plots.tables import NOTE, named, published, table
from flatlab.study import paper


class Curve(NamedTuple):
    """A column; one that holds a single number a seed is drawn as a level."""

    column: str
    words: str = ""
    colour: str = TEXT
    style: str = "-"
    x: str | None = None  # column to draw it against, where it is not the drawing's


class Panel(NamedTuple):
    """Curves on one pair of axes."""

    label: str  # of the y axis
    curves: tuple
    log: bool = False  # y in the logarithm, mean and interval too
    x: str | None = None  # label of the x axis, where it is not the drawing's


class Drawing(NamedTuple):
    """How an experiment's columns are drawn: one row of panels for each network."""

    x: str | None  # column of x; None: counted from 1
    label: str
    panels: tuple
    log: bool = False  # x in the logarithm
    reverse: bool = False  # x falls to the right
    marks: tuple = ()  # (x or the column that holds it, colour, words)
    paper: tuple = ()  # networks of the paper's figure; the first where ours has none of them


EPSILONS = (("1e-3", "-"), ("5e-4", ":"))


def both(small, large):
    """The columns of the small and of the large batch."""
    return Curve(small, "small batch", SMALL, "-"), Curve(large, "large batch", LARGE, "--")


def parts(kind):
    """A column on both splits."""
    return Curve(f"{kind}_train", "training", BETWEEN), Curve(f"{kind}_test", "test", BETWEEN, "--")


def sharpness(colour):
    """phi at the paper's two eps."""
    curves = tuple(Curve(f"sharp_{eps}", f"$\\varepsilon$ = {eps}", colour, style) for eps, style in EPSILONS)
    return Panel("$\\phi$, %", curves, log=True)


def on_the_way(eps):
    """phi of both batch sizes against their own cross entropy."""
    curves = (
        Curve(f"SB_{eps}", "small batch", SMALL, "-", "SB_cross_entropy"),
        Curve(f"LB_{eps}", "large batch", LARGE, "--", "LB_cross_entropy"),
    )
    return Panel(f"$\\phi$({eps}), %", curves, log=True)


def descent(x):
    """The excess loss of both batch sizes against their own updates or seconds."""
    curves = (
        Curve("few excess", "few rows a batch", SMALL, "-", f"few {x}"),
        Curve("all excess", "all rows", LARGE, "--", f"all {x}"),
    )
    return Panel("excess loss", curves, log=True, x={"update": "updates"}.get(x, x))


PATH = Drawing(
    "alpha",
    "$\\alpha$",
    (Panel("loss, nats", parts("loss")), Panel("accuracy, %", parts("acc"))),
    marks=((0, SMALL, "small batch"), (1, LARGE, "large batch")),
    paper=("F1", "F2", "C1", "C2", "C3", "C4"),
)

DRAWINGS = {
    "fig2": Drawing(
        "epoch",
        "epoch",
        paper=("C1", "F2"),
        panels=(
            Panel("test accuracy, %", both("SB_test", "LB_test")),
            Panel("training accuracy, %", both("SB_train", "LB_train")),
        ),
    ),
    "fig3": PATH,
    "fig4": Drawing(
        "batch_size",
        "batch size",
        (Panel("test accuracy, %", (Curve("test_acc", colour=BETWEEN),)), sharpness(BETWEEN)),
        log=True,
        marks=(("threshold", BETWEEN, "threshold"),),
        paper=("C1", "F2"),
    ),
    "fig5": Drawing(
        "sb_epoch",
        "epoch of the small batch",
        paper=("C1", "F2"),
        panels=(
            Panel(
                "test accuracy, %",
                (Curve("SB_acc", "small batch, so far", SMALL), Curve("PB_acc", "large batch from there", LARGE, "--")),
            ),
            sharpness(LARGE),
        ),
    ),
    "fig6": Drawing(
        None,
        "cross entropy, nats",
        tuple(on_the_way(eps) for eps, _ in EPSILONS),
        log=True,
        reverse=True,
        paper=("C1", "F2"),
    ),
    "fig7": PATH,
    "spectrum": Drawing(None, "rank", (Panel("eigenvalue", both("SB eigenvalues", "LB eigenvalues"), log=True),)),
    "lenet-sweep": Drawing(
        "batch_size",
        "batch size",
        log=True,
        panels=(
            Panel("test accuracy, %", (Curve("test_acc"), Curve("goal", "to be reached", style=":"))),
            Panel("seconds per epoch", (Curve("seconds per epoch"),), log=True),
            Panel("epochs to reach it", (Curve("epochs"),), log=True),
            Panel("seconds to reach it", (Curve("seconds"),), log=True),
        ),
    ),
    "regression": Drawing(None, "", (descent("update"), descent("seconds")), log=True),
    "gradient-error": Drawing(
        "batch_size",
        "batch size",
        log=True,
        panels=(
            Panel(
                "relative error",
                (Curve("error start", "at the start", style=":"), Curve("error end", "at the end")),
                log=True,
            ),
            Panel(
                "seconds",
                (Curve("seconds start", "at the start", style=":"), Curve("seconds end", "at the end")),
                log=True,
            ),
        ),
    ),
    "part-of-the-data": Drawing(
        "share",
        "share of the training set",
        (
            Panel(
                "cosine with the whole",
                (
                    Curve("cosine start", "part, at the start", SMALL),
                    Curve("cosine fresh start", "fresh data, at the start", SMALL, ":"),
                    Curve("cosine end", "part, at the end", LARGE),
                    Curve("cosine fresh end", "fresh data, at the end", LARGE, ":"),
                ),
            ),
        ),
        log=True,
    ),
    "stable-step": Drawing(
        "share",
        "step, as a share of $2 / \\lambda_{max}$",
        (Panel("growth of the loss", (Curve("growth"),), log=True),),
        marks=((1, TEXT, "a quadratic's limit"),),
    ),
    "throughput": Drawing(
        "batch_size", "batch size", (Panel("rows per second", (Curve("rows per second"),), log=True),), log=True
    ),
}


def draw(result):
    """The figure of a result: a row of panels for each network.

    Raises KeyError for an experiment that is a table.
    """
    drawing = DRAWINGS[result.experiment]
    known = {net: paper.original(net) for net in result.values if paper.original(net) in drawing.paper}
    rows = [(net, columns, known.get(net)) for net, columns in result.values.items()]
    if drawing.paper and not known:
        rows.append((None, None, drawing.paper[0]))
    across = min(2, len(drawing.panels))
    down = len(drawing.panels) // across
    figure, grid = canvas((5.6, 6.8)[across - 1], 2.7 * down * len(rows) + 0.5, down * len(rows), across, squeeze=False)
    figure.data = {name: [] for name in ("network", "curve", "x", "low", "mean", "high")}
    for (net, columns, theirs), panels in zip(rows, grid.reshape(len(rows), -1)):
        panels[0].set_title(_title(net, result.data.get(net), theirs))
        for axes, panel in zip(panels, drawing.panels):
            axes.set(
                ylabel=panel.label,
                xlabel=panel.x or drawing.label,
                xscale="log" if drawing.log else "linear",
                yscale="log" if panel.log else "linear",
            )
            drawn = _theirs(axes, result.experiment, drawing, panel, theirs) if theirs else []
            drawn += _ours(axes, drawing, panel, columns, figure.data, net) if columns else []
            _frame(axes, np.concatenate([np.ravel(values) for values in drawn]), panel.log)
            if drawing.reverse:
                axes.invert_xaxis()
    handles = {
        line.get_label(): line for axes in figure.axes for line in axes.lines if not line.get_label().startswith("_")
    }
    if handles:
        figure.legend(
            handles=handles.values(),
            loc="outside upper left",
            ncols=2 * across,
            fontsize=9,
            labelcolor="linecolor",
            handlelength=1.6,
        )
    names = {named(result.data[net]) for net in result.values}
    stamp(figure, names.pop() if len(names) == 1 else "each row its own data", len(result.seeds), result.tier)
    return figure


def _title(net, data, theirs):
    ours = f"{net} on {named(data)}" if net else ""
    if not theirs:
        return ours
    published_on = paper.NETWORKS[theirs].data
    if net == theirs:
        return f"{ours}, grey: the paper's" + (f", on {published_on}" if published_on != named(data) else "")
    return f"{ours}, grey: the paper's {theirs} on {published_on}".removeprefix(", ")


def _ours(axes, drawing, panel, columns, data, net):
    """Draw the columns of a panel; returns the values of every seed."""
    drawn = []
    for place, colour, words in drawing.marks:
        place = np.exp(np.mean(np.log(columns[place]))) if isinstance(place, str) else place
        axes.axvline(place, color=colour, linewidth=1, linestyle="-.", label=words)
    for curve in panel.curves:
        values = np.array(columns[curve.column], float)  # None, which is never, becomes not a number
        values[~np.isfinite(values) | (panel.log & (values <= 0))] = math.nan
        x, level = _x(drawing, curve, columns, values), values.ndim == 1
        values = np.repeat(values[:, None], len(x), 1) if level else values
        band(
            axes,
            x,
            values,
            curve.colour,
            log=panel.log,
            linestyle=curve.style,
            label=curve.words or None,
            marker="" if level or len(x) > 12 else "o",
            markersize=4,
        )
        for column, cells in zip(
            data.values(), ([net] * len(x), [curve.column] * len(x), x, *spread(values, panel.log))
        ):
            column.extend(list(cells))
        drawn.append(values)
    return drawn


def _x(drawing, curve, columns, values):
    if name := curve.x or drawing.x:
        return np.mean(columns[name], 0)
    return np.arange(1, values.shape[1] + 1)


def _theirs(axes, experiment, drawing, panel, net):
    """Draw the paper's curves of a panel; returns their values."""
    drawn = []
    for place, *_ in drawing.marks:
        if at := published(experiment, net, place):
            axes.axvline(at, color=PAPER, linewidth=1, linestyle="-.")
    for curve in panel.curves:
        if experiment in ("fig4", "fig6"):  # one series of points a curve
            x, y = paper.curve(experiment, net, curve.column).values()
        else:
            found = paper.curve(experiment, net)
            x, y = found[drawing.x], found[curve.column]
        axes.plot(x, y, curve.style, color=PAPER, linewidth=1.2, zorder=1)
        drawn.append(y)
    return drawn


def _frame(axes, values, log):
    """Limit y to twice the range of the seeds' own values: the interval of two seeds can be many times as wide. Label few ticks."""
    values = values[np.isfinite(values)]
    if len(values):
        ends = np.log([values.min(), values.max()]) if log else np.array([values.min(), values.max()])
        low, high = ends + np.array([-0.5, 0.5]) * (np.ptp(ends) or 1)
        low, high = np.exp([low, high]) if log else (low, high)
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, low), min(top, high))
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            low, high = sorted(axis.get_view_interval())
            if high / low < 200:
                axis.set_major_locator(
                    MaxNLocator(4) if high / low < 4 else LogLocator(subs=(1, 2, 5) if high / low < 20 else (1, 3))
                )
                axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,g}"))
            axis.set_minor_formatter(NullFormatter())


def write(result, stem):
    """Write a result's figure as STEM.svg, or its table as STEM.md, whole or not at all. Returns the path."""
    if result.experiment in DRAWINGS:
        file = io.BytesIO()
        draw(result).savefig(file, format="svg", metadata={"Date": None})
        path, content = f"{stem}.svg", file.getvalue()
    else:
        path, content = (
            f"{stem}.md",
            f"# {result.experiment}, {result.tier} tier\n\n{table(result.experiment, [result])}\n\n{NOTE}\n".encode(),
        )
    write_whole(path, content)
    return path
