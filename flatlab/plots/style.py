"""What every figure stands on: the style, the colours, the interval over seeds, the stamp, and the data one click below.

Every figure is drawn on a transparent ground in colours that can be read on white and on near-black, says on its face tier, data and
number of seeds (`stamp`), draws the interval over seeds, and carries what it shows as numbers: `figure.data`, a dict of columns,
which `data(figure)` puts one click below it in a notebook.
"""

import base64
import csv
import html
import io
import math
import os

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from flatlab.measure.estimate import interval
from flatlab.plots.tables import named

SMALL = "#0072B2"  # small batch: Okabe and Ito's blue
LARGE = "#D55E00"  # large batch: their vermilion
BETWEEN = "#A8508F"  # what the scale from one to the other passes through, neither grey nor dark
PAPER = "#8C8C8C"  # the paper's own curves, thin, behind
TEXT = "#787878"  # words and axes: 4.4 to 1 on white, 4.2 to 1 on #121212

STYLE = {
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
    "svg.fonttype": "path",  # letters as shapes: the same on every machine
    "svg.hashsalt": "flatlab",  # the same figure, the same bytes
}


# What every figure stands on


def use():
    """Set matplotlib to the book's style, and a notebook to SVG."""
    matplotlib.rcParams.update(STYLE)
    try:
        from IPython import get_ipython
    except ImportError:
        return
    if get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg", metadata={"Date": None})


def canvas(width=6.2, height=3.6, rows=1, columns=1, **options):
    """(figure, axes) in the book's style; sizes in inches. No pyplot: the figure is shown once, by the cell that returns it."""
    matplotlib.rcParams.update(STYLE)
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **options)


def intervals(table):
    """`interval` of each column of a table seeds x columns: two arrays."""
    mean, half = zip(*(interval(column) for column in np.asarray(table, float).T))
    return np.array(mean), np.array(half)


def spread(table, log=False):
    """(low, mean, high) of each column of a table seeds x columns: the mean and its 95 % interval.

    log     mean and interval of the logarithms, for values that range over decades
    """
    mean, half = intervals(np.log(table) if log else table)
    found = mean - half, mean, mean + half
    return tuple(map(np.exp, found)) if log else found


def stamp(figure, data, seeds, tier=None):
    """Write tier, data and number of seeds under a figure. The tier is $FLATLAB_TIER's unless it is given.

    data    a data set's name, or any words; seeds: a number, or 0 for a figure in which nothing is random
    """
    tier = tier or os.environ.get("FLATLAB_TIER", "smoke")
    scatter = {0: "nothing random", 1: "1 seed, no interval"}.get(seeds, f"{seeds} seeds, 95 % intervals")
    figure.supxlabel(f"{tier} tier · {named(data)} · {scatter}", x=0.01, ha="left", fontsize=8.5, color=TEXT)


def colours(batches):
    """A colour for each batch size: SMALL for the smallest, LARGE for the largest, by its logarithm between them."""
    scale = LinearSegmentedColormap.from_list("batch", [SMALL, BETWEEN, LARGE])
    low, high = math.log(min(batches)), math.log(max(batches))
    return {batch: to_hex(scale((math.log(batch) - low) / (high - low or 1))) for batch in batches}


def label(axes, x, y, text, colour, **options):
    """Name a curve where it is, instead of in a legend."""
    axes.annotate(
        text,
        (x, y),
        **{
            "color": colour,
            "xytext": (6, 0),
            "textcoords": "offset points",
            "va": "center",
            "annotation_clip": False,
            **options,
        },
    )


def band(axes, x, table, colour, log=False, **line):
    """The mean over seeds (rows of the table) as a line, its 95 % interval as a band around it, by `spread`. Returns the mean."""
    low, mean, high = spread(table, log)
    axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, mean, color=colour, **line)
    return mean


def data(figure, name="data"):
    """The numbers of a figure, folded away below it: a table, and the same as a CSV file."""
    from IPython.display import HTML

    columns = figure.data
    rows = list(zip(*columns.values(), strict=True))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([list(columns), *rows])
    link = f"data:text/csv;base64,{base64.b64encode(text.getvalue().encode()).decode()}"

    def line(cells, tag):
        shown = (f"{cell:.5g}" if isinstance(cell, float) else html.escape(str(cell)) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>"

    body = "".join(line(row, "td") for row in rows[:40])
    more = f"<p>and {len(rows) - 40} rows more in the file</p>" if len(rows) > 40 else ""
    return HTML(
        f'<details class="figure-data"><summary>The data of this figure</summary><p><a download="{html.escape(name)}.csv" '
        f'href="{link}">{html.escape(name)}.csv</a></p><table>{line(columns, "th")}{body}</table>{more}</details>'
    )


def by_batch(runs):
    """{rows in a batch: its runs}, the smallest batch first."""
    found = {}
    for run in sorted(runs, key=lambda run: (run.facts["rows"], run.seed)):
        found.setdefault(run.facts["rows"], []).append(run)
    return found
