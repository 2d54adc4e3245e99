"""Figures: one function a figure, from results to a matplotlib Figure. Never imported by the package itself.

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

from flatlab.estimate import interval
from flatlab.tables import named

SMALL = "#0072B2"                                # small batch: Okabe and Ito's blue
LARGE = "#D55E00"                                # large batch: their vermilion
BETWEEN = "#A8508F"                              # what the scale from one to the other passes through, neither grey nor dark
PAPER = "#8C8C8C"                                # the paper's own curves, thin, behind
TEXT = "#787878"                                 # words and axes: 4.4 to 1 on white, 4.2 to 1 on #121212

STYLE = {
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "savefig.transparent": True,
    "figure.constrained_layout.use": True,
    "text.color": TEXT, "axes.labelcolor": TEXT, "axes.edgecolor": TEXT, "axes.titlecolor": TEXT,
    "xtick.color": TEXT, "ytick.color": TEXT,
    "font.size": 11, "axes.titlesize": 11, "axes.titlelocation": "left", "axes.labelsize": 11,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False,
    "lines.linewidth": 1.8, "lines.markersize": 6, "legend.frameon": False,
    "svg.fonttype": "path",                      # letters as shapes: the same on every machine
    "svg.hashsalt": "flatlab",                   # the same figure, the same bytes
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
    axes.annotate(text, (x, y), **{"color": colour, "xytext": (6, 0), "textcoords": "offset points", "va": "center",
                                   "annotation_clip": False, **options})


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
    return HTML(f'<details class="figure-data"><summary>The data of this figure</summary><p><a download="{html.escape(name)}.csv" '
                f'href="{link}">{html.escape(name)}.csv</a></p><table>{line(columns, "th")}{body}</table>{more}</details>')


def by_batch(runs):
    """{rows in a batch: its runs}, the smallest batch first."""
    found = {}
    for run in sorted(runs, key=lambda run: (run.facts["rows"], run.seed)):
        found.setdefault(run.facts["rows"], []).append(run)
    return found


# Chapter 1: the puzzle


def accuracy(runs, training):
    """Accuracy of the trained nets against batch size: test (filled) and training (hollow), every seed as a dot.

    training    {batch size: accuracies on the training set at the last point, one a seed}
    """
    groups = by_batch(runs)
    colour = colours(groups)
    figure, axes = canvas()
    columns = {"batch size": [], "seed": [], "test accuracy": [], "training accuracy": []}
    for batch, group in groups.items():
        tested = [run.history["test_accuracy"][-1] for run in group]
        for values, face in ((training[batch], "none"), (tested, colour[batch])):
            mean, half = interval(values)
            axes.plot([batch] * len(values), values, "o", markersize=3, color=colour[batch], alpha=0.5, markeredgewidth=0)
            axes.errorbar(batch * 1.09, mean, half, fmt="o", color=colour[batch], markerfacecolor=face, capsize=3)
        label(axes, batch * 1.09, mean, f"{mean:.1f}", colour[batch], xytext=(8, 0))
        for run, *values in zip(group, tested, training[batch]):
            for column, value in zip(columns.values(), (batch, run.seed, *values)):
                column.append(value)
    figure.data = columns
    axes.set(xscale="log", xlabel="batch size", ylabel="accuracy, %")
    axes.set_xticks(list(groups), labels=[str(batch) for batch in groups])
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.text(0.5, 0.5, "hollow: training\nfilled: test", transform=axes.transAxes, ha="center", va="center")
    stamp(figure, run.facts["data"], len(group))
    return figure


def learning_curves(runs, network="C1"):
    """Figure 2: accuracy against epoch, smallest and largest batch of the runs; the paper's network in a panel of its own."""
    from flatlab import paper
    groups = by_batch(runs)
    figure, (ours, theirs) = canvas(7.0, 3.6, 1, 2, sharey=True)
    figure.data = {"epoch": runs[0].history["epoch"]}
    for batch, colour in ((min(groups), SMALL), (max(groups), LARGE)):
        for name, style in (("train", "--"), ("test", "-")):
            table = [run.history[f"{name}_accuracy"] for run in groups[batch]]
            mean = band(ours, figure.data["epoch"], table, colour, linestyle=style)
            figure.data[f"batch {batch}, {name}, mean"], figure.data[f"batch {batch}, {name}, ±"] = map(list, intervals(table))
        label(ours, figure.data["epoch"][-1], mean[-1], f"batch {batch}", colour)
    curve = paper.curve("fig2", network)
    for name, words, shift in (("SB", "small", 4), ("LB", "large", -4)):
        theirs.plot(curve["epoch"], curve[f"{name}_train"], color=PAPER, linewidth=1, linestyle="--")
        theirs.plot(curve["epoch"], curve[f"{name}_test"], color=PAPER, linewidth=1.2)
        label(theirs, curve["epoch"][-1], curve[f"{name}_test"][-1], words, PAPER, xytext=(6, shift))
    ours.set_title("ours")
    theirs.set_title(f"the paper's Fig. 2: {network}, {paper.NETWORKS[network].data}")
    for axes in (ours, theirs):
        axes.set(xlabel="epoch")
    ours.set_ylabel("accuracy, %")
    ours.text(0.98, 0.02, "solid: test\ndashed: training", transform=ours.transAxes, ha="right", va="bottom")
    stamp(figure, runs[0].facts["data"], len(groups[batch]))
    return figure


def against_updates(runs):
    """Test accuracy against the number of updates: the same runs as at equal epochs, seen at equal updates."""
    groups = by_batch(runs)
    colour = colours(groups)
    figure, axes = canvas()
    figure.data = {"batch size": [], "updates": [], "test accuracy, mean": [], "±": []}
    for batch, group in groups.items():
        updates, table = group[0].history["updates"], [run.history["test_accuracy"] for run in group]
        mean, half = intervals(table)
        band(axes, updates, table, colour[batch])
        label(axes, updates[0], mean[0], str(batch), colour[batch], xytext=(0, -12), ha="center")
        for column, values in zip(figure.data.values(), ([batch] * len(updates), updates, mean, half)):
            column.extend(list(values))
    axes.set(xscale="log", xlabel="updates", ylabel="test accuracy, %")
    axes.set_title("from the first epoch to the last, batch size by batch size")
    stamp(figure, runs[0].facts["data"], len(group))
    return figure


def early_stopping(runs):
    """Test accuracy at the last epoch (filled) and at each run's own best epoch, chosen on the test set (hollow)."""
    groups = by_batch(runs)
    colour = colours(groups)
    figure, axes = canvas(6.2, 3.2)
    figure.data = {"batch size": [], "seed": [], "last epoch": [], "best epoch": [], "which": []}
    for batch, group in groups.items():
        curves = [run.history["test_accuracy"] for run in group]
        for values, face, shift in (([c[-1] for c in curves], colour[batch], 0.94), ([max(c) for c in curves], "none", 1.06)):
            mean, half = interval(values)
            axes.errorbar(batch * shift, mean, half, fmt="o", color=colour[batch], markerfacecolor=face, capsize=3)
        for run, curve in zip(group, curves):
            row = (batch, run.seed, curve[-1], max(curve), run.history["epoch"][int(np.argmax(curve))])
            for column, value in zip(figure.data.values(), row):
                column.append(value)
    axes.set(xscale="log", xlabel="batch size", ylabel="test accuracy, %")
    axes.set_xticks(list(groups), labels=[str(batch) for batch in groups])
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.text(0.98, 0.95, "hollow: best epoch\nfilled: last epoch", transform=axes.transAxes, ha="right", va="top")
    stamp(figure, runs[0].facts["data"], len(group))
    return figure


# Chapter 2: flat and sharp


def displaced(f, minima, displacements):
    """Figure 1: a training function with a flat and a sharp minimum, and the same function moved, a panel for each displacement.

    f       a function of an array; minima: x of the flat and of the sharp one
    """
    x = np.linspace(-4.5, 3.5, 500)
    figure, panels = canvas(2.2 * len(displacements), 3.0, 1, len(displacements), sharey=True, squeeze=False)
    figure.data = {"displacement": [], "minimum": [], "training": [], "test": []}
    for axes, d in zip(panels[0], displacements):
        axes.plot(x, f(x), color=TEXT)
        axes.plot(x, f(x - d), color=TEXT, linestyle="--", linewidth=1.2)
        for name, place, colour in zip(("flat", "sharp"), minima, (SMALL, LARGE)):
            base, high = float(f(place)), float(f(place - d))
            axes.plot([place, place], [base, high], color=colour, linewidth=3)
            axes.plot(place, base, "o", color=colour)
            label(axes, place, base, f"{name}\n+{high - base:.2f}", colour, xytext=(0, -16), ha="center")
            for column, value in zip(figure.data.values(), (float(d), name, base, high)):
                column.append(value)
        axes.set(title=f"moved by {d:g}", xticks=[], yticks=[], xlabel="x", ylim=(-0.5, None))
    panels[0][0].set_ylabel("f   (dashed: on test data)")
    stamp(figure, "a function made up for this page", 0)
    return figure


def increase(displacements, exact, estimate):
    """What a displacement costs at each minimum, and what half the curvature times its square says it costs.

    exact, estimate     {"flat": increases, "sharp": increases}, one value a displacement
    """
    figure, axes = canvas(6.2, 3.2)
    figure.data = {"displacement": [float(d) for d in displacements]}
    for name, colour in (("flat", SMALL), ("sharp", LARGE)):
        axes.plot(displacements, exact[name], color=colour)
        axes.plot(displacements, estimate[name], color=colour, linestyle=":")
        label(axes, displacements[-1], exact[name][-1], name, colour)
        figure.data |= {f"{name}, exact": list(map(float, exact[name])), f"{name}, estimate": list(map(float, estimate[name]))}
    axes.set(xlabel="displacement", ylabel="test increase", ylim=(0, 1.25))
    axes.set_title("solid: exact, dotted: half the curvature times the square")
    stamp(figure, "the same function", 0)
    return figure


def boxes(sides, rounded, worst, tolerance, data):
    """The training loss when every weight is rounded to a grid, and the worst loss that this could have given.

    sides       the grid's pitch, which is the side of the box
    rounded     {batch size: losses, seeds x sides}; worst: the same for the worst point of the box
    """
    colour = colours(rounded)
    figure, axes = canvas(6.2, 4.0)
    figure.data = {"side of the box": [float(side) for side in sides]}
    for batch in rounded:
        for name, table, style in (("rounded", rounded, "-"), ("worst", worst, "--")):
            mean = band(axes, sides, table[batch], colour[batch], log=True, linestyle=style)
            figure.data[f"batch {batch}, {name}"] = mean.tolist()
            figure.data[f"batch {batch}, {name}, times or over"] = (spread(table[batch], log=True)[2] / mean).tolist()
        shift = 7 if batch == max(rounded) else -7
        label(axes, sides[-1], figure.data[f"batch {batch}, rounded"][-1], f"batch {batch}", colour[batch], xytext=(6, shift))
    axes.axhline(tolerance, color=TEXT, linewidth=1, linestyle=":")
    label(axes, sides[0], tolerance, "acceptable below this line", TEXT, xytext=(0, -9))
    axes.set(xscale="log", yscale="log", xlabel="side of the box", ylabel="training loss, nats")
    axes.set_title("solid: rounded, dashed: the worst point of the box")
    stamp(figure, data, len(rounded[batch]))
    return figure


def rescaled(f, alphas, curvature, sharpness):
    """Left, the loss f(w1, w2) of y = w2 relu(w1 x) and minima that are one function; right, how sharp each of them looks."""
    figure, (valley, axes) = canvas(6.6, 3.4, 1, 2)
    w = np.linspace(0.02, 4.2, 120)
    valley.contour(w, w, f(*np.meshgrid(w, w)), levels=[0.02, 0.2, 1, 4, 10], colors=TEXT, linewidths=0.8)
    scale = colours(alphas)
    for alpha in alphas:
        if alpha <= 4.2:
            valley.plot(alpha, 1 / alpha, "o", color=scale[alpha])
    valley.set(xlabel="first weight", ylabel="second weight", title="minima of one loss")
    axes.plot(alphas, curvature, color=TEXT)
    axes.plot(alphas, sharpness, color=TEXT, linestyle="--")
    for alpha, one, other in zip(alphas, curvature, sharpness):
        axes.plot([alpha, alpha], [one, other], "o", color=scale[alpha])
    label(axes, alphas[-1], curvature[-1], "curvature", TEXT, xytext=(-10, 2), ha="right")
    label(axes, alphas[-1], sharpness[-1], "$\\phi$, %", TEXT, xytext=(-10, 2), ha="right")
    axes.set(xscale="log", yscale="log", xlabel="rescaled by", title="one function, any sharpness")
    figure.data = {"alpha": list(alphas), "largest curvature": list(curvature), "phi, %": list(sharpness)}
    stamp(figure, "a net of two weights", 0)
    return figure


# Chapter 3: measuring sharpness


def walls(way, one, every, data):
    """The rise of the loss on the way from x to the wall of the box: one coordinate moved (left), all of them (right).

    way     the share of the way, above 0; one, every: {batch size: rises in percent, seeds x way}
    """
    colour = colours(one)
    figure, panels = canvas(6.6, 3.4, 1, 2, sharey=True)
    figure.data = {"share of the way": list(way)}
    for axes, title, rises in zip(panels, ("one coordinate, the worst", "all coordinates at once"), (one, every)):
        for batch, table in rises.items():
            mean = band(axes, way, table, colour[batch], log=True)
            if axes is panels[1]:
                label(axes, way[-1], mean[-1], f"batch\n{batch}", colour[batch])
            figure.data[f"{title}, batch {batch}"] = mean.tolist()
        axes.set(yscale="log", title=title, xlabel="share of the way to the wall")
    panels[0].set_ylabel("rise, %")
    stamp(figure, data, len(table))
    return figure


def by_epsilon(epsilons, phis, first, data):
    """Sharpness against the size of the box, and what the gradient alone predicts (dotted).

    phis, first     {batch size: percent, seeds x epsilons}
    """
    colour = colours(phis)
    figure, axes = canvas(6.2, 3.8)
    figure.data = {"eps": list(epsilons)}
    for batch, table in phis.items():
        mean = band(axes, epsilons, table, colour[batch], log=True)
        linear = band(axes, epsilons, first[batch], colour[batch], linestyle=":", log=True)
        label(axes, epsilons[-1], mean[-1], f"batch {batch}", colour[batch])
        figure.data |= {f"batch {batch}": mean.tolist(), f"batch {batch}, first order": linear.tolist()}
    for eps in (1e-3, 5e-4):
        axes.axvline(eps, color=PAPER, linewidth=0.8, linestyle="--")
    axes.text(1e-3, 0.02, " the paper's two eps", transform=axes.get_xaxis_transform(), color=PAPER, fontsize=9)
    axes.set(xscale="log", yscale="log", xlabel="$\\varepsilon$", ylabel="$\\phi$, %",
             title="solid: found by search, dotted: first order")
    stamp(figure, data, len(table))
    return figure


def sharpness_by_batch(phis, rows, data):
    """Tables 3 and 4: sharpness against the batch as a share of the training set; the paper's F1 on MNIST in grey.

    phis    {"full space" or "random subspace": {eps: {batch size: percent, one a seed}}}; rows: of the training set
    """
    from flatlab import paper
    figure, panels = canvas(6.8, 4.0, 1, 2, sharey=True)
    figure.data = {"space": [], "eps": [], "batch size": [], "phi, %": []}
    shares = [100 * paper.SMALL_BATCH / paper.DATA_SETS["MNIST"].train, 100 * paper.LARGE_FRACTION]
    for axes, (space, table), printed in zip(panels, phis.items(), (paper.TABLE3["F1"], paper.TABLE4["F1"])):
        for eps, name, filled in zip(paper.EPSILONS, ("1e-3", "5e-4"), (True, False)):
            theirs = [printed[f"SB {name}"], printed[f"LB {name}"]]
            axes.errorbar(shares, [v.mean for v in theirs], [v.std for v in theirs], color=PAPER, linewidth=1, capsize=2,
                          marker="o", markersize=4, markerfacecolor=PAPER if filled else "none", linestyle="-" if filled else "--")
            colour = colours(table[eps])
            for batch, values in table[eps].items():
                (low,), (middle,), (high,) = spread(np.c_[values], log=True)
                axes.errorbar(100 * batch / rows, middle, [[middle - low], [high - middle]], fmt="o", color=colour[batch],
                              markerfacecolor=colour[batch] if filled else "none", capsize=3)
                if filled:
                    label(axes, 100 * batch / rows, middle, str(batch), colour[batch], xytext=(7, 0), fontsize=9)
                for column, value in zip(figure.data.values(), (space, eps, batch, np.asarray(values).round(5).tolist())):
                    column.append(value)
        axes.set(xscale="log", yscale="log", xlabel="batch, % of the training set", title=space)
        axes.margins(x=0.15)
    panels[0].set_ylabel("$\\phi$, %")
    panels[1].text(0.03, 0.97, "filled: eps 1e-3\nhollow: eps 5e-4\ngrey: the paper, F1", transform=panels[1].transAxes,
                   va="top", fontsize=9)
    stamp(figure, data, len(values))
    return figure


def by_scale(scales, phis, data):
    """What two searches find when the loss is multiplied by a number, as a share of what ours finds at 1.

    phis    {batch size: {method: percent, one a scale}}, methods "lbfgs" and "scipy"
    """
    colour = colours(phis)
    figure, axes = canvas(6.2, 3.2)
    figure.data = {"loss multiplied by": list(scales)}
    for batch, found in phis.items():
        whole = found["lbfgs"][list(scales).index(1)]
        for method, style, words in (("lbfgs", "-", "ours"), ("scipy", "--", "scipy")):
            share = [100 * value / whole for value in found[method]]
            axes.plot(scales, share, style, marker="o", markersize=4, color=colour[batch])
            figure.data[f"batch {batch}, {words}"] = share
        axes.text(0.98, 0.32 if batch == min(phis) else 0.22, f"batch {batch}", color=colour[batch], ha="right", transform=axes.transAxes)
    axes.set(xscale="log", xlabel="loss multiplied by", ylabel="$\\phi$, % of ours at 1", ylim=(-8, 115),
             title="solid: ours, dashed: scipy's L-BFGS-B")
    stamp(figure, data, 1)
    return figure


def searches(histories, data):
    """How the largest value found grows with the evaluations of f and its gradient.

    histories   {method: {batch size: phi in percent after each evaluation, a list a seed}}; a search that ended early keeps its value
    """
    longest = max(len(curve) for tables in histories.values() for table in tables.values() for curve in table)
    histories = {method: {batch: [[*curve, *[curve[-1]] * (longest - len(curve))] for curve in table]
                          for batch, table in tables.items()} for method, tables in histories.items()}
    figure, panels = canvas(6.6, 3.2, 1, len(histories), sharey=True)
    best = {batch: np.max([np.max(table[batch], axis=1) for table in histories.values()], axis=0)
            for batch in next(iter(histories.values()))}
    colour = colours(best)
    figure.data = {}
    for axes, (method, tables) in zip(panels, histories.items()):
        for batch, table in tables.items():
            share = 100 * np.asarray(table) / best[batch][:, None]
            figure.data |= {"evaluations": list(range(1, share.shape[1] + 1))}
            mean = band(axes, figure.data["evaluations"], share, colour[batch])
            figure.data[f"{method}, batch {batch}"] = mean.tolist()
            axes.text(0.97, 0.08 if batch == min(best) else 0.18, f"batch {batch}", color=colour[batch], ha="right",
                      transform=axes.transAxes)
        axes.axvline(11, color=PAPER, linewidth=0.8, linestyle="--")
        axes.set(title=method, xlabel="evaluations")
    panels[0].set_ylabel("% of the best found")
    stamp(figure, data, len(table))
    return figure


def rescaling(factors, phis, data):
    """Sharpness of one function written with other weights: those in front of BatchNorm multiplied by a factor.

    phis    {"full space" or "random subspace": {batch size: percent, seeds x factors}}
    """
    figure, panels = canvas(6.6, 3.6, 1, 2, sharey=True)
    figure.data = {"factor": list(factors)}
    for axes, (space, tables) in zip(panels, phis.items()):
        colour = colours(tables)
        for batch, table in tables.items():
            mean = band(axes, factors, table, colour[batch], marker="o", markersize=4, log=True)
            label(axes, factors[-1], mean[-1], str(batch), colour[batch])
            figure.data[f"{space}, batch {batch}"] = mean.tolist()
        axes.axvline(1, color=PAPER, linewidth=0.8, linestyle="--")
        axes.set(xscale="log", yscale="log", xlabel="weights multiplied by", title=space)
    panels[0].set_ylabel("$\\phi(10^{-3})$, %")
    stamp(figure, data, len(table))
    return figure


# Chapter 4: between two minima


def paths(found, figure_name, data, networks=("F1", "C1"), ends=("small", "large"), tier=None):
    """Figures 3 and 7: loss and accuracy along a path, every seed thin and their mean; the paper's networks in grey panels.

    found           {"train" or "test": a `Path` for each seed}
    figure_name     "fig3" or "fig7", or None without the paper's
    """
    from flatlab import paper
    networks = networks if figure_name else ()
    figure, panels = canvas(2.4 + 2.2 * (1 + len(networks)), 4.4, 2, 1 + len(networks), sharex=True, squeeze=False)
    alphas = found["train"][0].alphas
    figure.data = {"alpha": list(alphas)}
    for part, style in (("train", "-"), ("test", "--")):
        for row, kind in enumerate(("loss", "accuracy")):
            table = [getattr(path, kind) for path in found[part]]
            mean, half = intervals(table)
            for values in table:
                panels[row][0].plot(alphas, values, style, color=TEXT, linewidth=0.5, alpha=0.6)
            band(panels[row][0], alphas, table, TEXT, linestyle=style)
            figure.data[f"{kind}, {part}, mean"], figure.data[f"{kind}, {part}, ±"] = mean.tolist(), half.tolist()
    for column, network in enumerate(networks, 1):
        curve = paper.curve(figure_name, network)
        for row, kind in enumerate(("loss", "acc")):
            for part, style in (("train", "-"), ("test", "--")):
                panels[row][column].plot(curve["alpha"], curve[f"{kind}_{part}"], style, color=PAPER, linewidth=1.2)
        panels[0][column].set_title(f"the paper: {network}", color=PAPER)
    for row in panels:
        for axes in row:
            axes.axvline(0, color=SMALL, linewidth=1, alpha=0.8)
            axes.axvline(1, color=LARGE, linewidth=1, alpha=0.8)
    for row, words in zip(panels, ("loss, nats", "accuracy, %")):
        row[0].set_ylabel(words)
    top = panels[0][0]
    for place, words, colour in zip((0, 1), ends, (SMALL, LARGE)):
        top.text(place, 1.0, f" {words}", color=colour, transform=top.get_xaxis_transform(), va="top", ha="center" if place else "right",
                 fontsize=9, rotation=90)
    top.set_title("ours   (dashed: test)")
    for axes in panels[1]:
        axes.set(xlabel="$\\alpha$", xticks=[-1, 0, 1, 2])
    stamp(figure, data, len(found["train"]), tier)
    return figure


def between(found, data):
    """The training loss between alpha = 0 and 1 and a little beyond, logarithmic, one colour a kind of path.

    found   {words: a `Path` for each seed}, at most four
    """
    figure, axes = canvas(6.4, 4.0)
    figure.data = {"alpha": [a for a in next(iter(found.values()))[0].alphas if -0.25 <= a <= 1.25]}
    for place, ((name, group), colour) in enumerate(zip(found.items(), (TEXT, SMALL, LARGE, BETWEEN))):
        inside = [[value for alpha, value in zip(path.alphas, path.loss) if -0.25 <= alpha <= 1.25] for path in group]
        mean = band(axes, figure.data["alpha"], inside, colour, log=True)
        axes.text(0.03, 0.97 - 0.08 * place, name, color=colour, va="top", transform=axes.transAxes)
        figure.data[name] = mean.tolist()
    for end in (0, 1):
        axes.axvline(end, color=PAPER, linewidth=0.8, linestyle="--")
    axes.set(yscale="log", xlabel="$\\alpha$", ylabel="training loss, nats", xticks=[0, 0.5, 1])
    stamp(figure, data, len(group))
    return figure


def barriers(found, data):
    """The barrier of each pair of nets as a dot, and the mean with its interval (of the logarithms), a row a kind of pair.

    found   {words: barriers, one a pair}
    """
    figure, axes = canvas(6.4, 0.55 * len(found) + 1.3)
    figure.data = {"pair": [], "barrier": []}
    for place, (name, values) in enumerate(found.items()):
        positive = np.maximum(values, 1e-6)
        (low,), (middle,), (high,) = spread(np.c_[positive], log=True)
        axes.plot(positive, [place] * len(positive), "o", color=TEXT, markersize=3, alpha=0.6, markeredgewidth=0)
        axes.errorbar(middle, place + 0.18, xerr=[[middle - low], [high - middle]], fmt="o", color=TEXT, capsize=3)
        for value in values:
            figure.data["pair"].append(name)
            figure.data["barrier"].append(float(value))
    axes.set(xscale="log", xlabel="barrier, nats", ylim=(len(found) - 0.4, -0.6))
    axes.set_yticks(range(len(found)), labels=list(found))
    stamp(figure, data, len(values))
    return figure


def policies(found, data):
    """The training loss along one line under several choices of BatchNorm statistics: {words: a `Path` for each seed}."""
    figure, panels = canvas(6.8, 3.4, 1, len(found), sharey=True)
    figure.data = {"alpha": list(next(iter(found.values()))[0].alphas)}
    for axes, (name, group) in zip(panels, found.items()):
        mean = band(axes, figure.data["alpha"], [path.loss for path in group], TEXT, log=True)
        axes.axvline(0, color=SMALL, linewidth=1)
        axes.axvline(1, color=LARGE, linewidth=1)
        axes.set(yscale="log", title=name, xlabel="$\\alpha$", xticks=[-1, 0, 1, 2])
        figure.data[name] = mean.tolist()
    panels[0].set_ylabel("training loss, nats")
    stamp(figure, data, len(group))
    return figure


# The picture in the README


def headline(runs, sharpness):
    """Test accuracy falls and sharpness rises with the batch size.

    sharpness   {batch size: values of phi(1e-3), one a seed}
    """
    groups = by_batch(runs)
    colour = colours(groups)
    figure, (upper, lower) = canvas(6.2, 4.6, 2, 1, sharex=True)
    figure.data = {"batch size": [], "seed": [], "test accuracy": [], "phi(1e-3)": []}
    for batch, group in groups.items():
        tested = [run.history["test_accuracy"][-1] for run in group]
        mean, half = interval(tested)
        upper.errorbar(batch, mean, half, fmt="o", color=colour[batch], capsize=3)
        label(upper, batch, mean, f"{mean:.1f}", colour[batch], xytext=(8, 0))
        (low,), (middle,), (high,) = spread(np.c_[sharpness[batch]], log=True)
        lower.errorbar(batch, middle, [[middle - low], [high - middle]], fmt="o", color=colour[batch], capsize=3)
        label(lower, batch, middle, f"{middle:.0f}", colour[batch], xytext=(8, 0))
        for run, accurate, phi in zip(group, tested, sharpness[batch]):
            for column, value in zip(figure.data.values(), (batch, run.seed, accurate, phi)):
                column.append(value)
    upper.set(ylabel="test accuracy, %")
    lower.set(xscale="log", yscale="log", xlabel="batch size", ylabel="sharpness $\\phi(10^{-3})$, %")
    lower.set_xticks(list(groups), labels=[str(batch) for batch in groups])
    lower.minorticks_off()
    lower.margins(x=0.12)
    stamp(figure, runs[0].facts["data"], len(group))
    return figure


def write_headline(path, seeds=5):
    """Train and measure what the README's picture shows, smoke tier, and write it as an SVG.

    `python -c "from flatlab import plots; plots.write_headline('book/_static/headline.svg')"`
    """
    import flatlab
    data_set, store = flatlab.load("mnist1d"), flatlab.Store()
    f = flatlab.Objective("mlp", data_set.train)
    runs = [flatlab.train("mlp", data_set, batch_size=batch, seed=seed, store=store) for batch in (32, 128, 400, 2000)
            for seed in range(seeds)]
    phis = {batch: [float(flatlab.sharpness(f, run.x)) for run in group] for batch, group in by_batch(runs).items()}
    figure = headline(runs, phis)
    figure.savefig(path, format="svg", metadata={"Date": None})
    return figure
