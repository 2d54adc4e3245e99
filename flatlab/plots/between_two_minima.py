"""The figures of the chapter Between two minima."""

import numpy as np

from flatlab.plots.style import BETWEEN, LARGE, PAPER, SMALL, TEXT, band, canvas, intervals, spread, stamp
from flatlab.study import paper


def paths(found, figure_name, data, networks=("F1", "C1"), ends=("small", "large"), tier=None):
    """Figures 3 and 7: loss and accuracy along a path, every seed thin and their mean; the paper's networks in grey panels.

    found           {"train" or "test": a `Path` for each seed}
    figure_name     "fig3" or "fig7", or None without the paper's
    """
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
        top.text(
            place,
            1.0,
            f" {words}",
            color=colour,
            transform=top.get_xaxis_transform(),
            va="top",
            ha="center" if place else "right",
            fontsize=9,
            rotation=90,
        )
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
