"""The figures of the chapter The puzzle: from runs to pictures."""

import numpy as np

from flatlab.measure.estimate import interval
from flatlab.plots.style import LARGE, PAPER, SMALL, band, by_batch, canvas, colours, intervals, label, stamp
from flatlab.study import paper


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
            axes.plot(
                [batch] * len(values), values, "o", markersize=3, color=colour[batch], alpha=0.5, markeredgewidth=0
            )
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
    groups = by_batch(runs)
    figure, (ours, theirs) = canvas(7.0, 3.6, 1, 2, sharey=True)
    figure.data = {"epoch": runs[0].history["epoch"]}
    for batch, colour in ((min(groups), SMALL), (max(groups), LARGE)):
        for name, style in (("train", "--"), ("test", "-")):
            table = [run.history[f"{name}_accuracy"] for run in groups[batch]]
            mean = band(ours, figure.data["epoch"], table, colour, linestyle=style)
            figure.data[f"batch {batch}, {name}, mean"], figure.data[f"batch {batch}, {name}, ±"] = map(
                list, intervals(table)
            )
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
        for values, face, shift in (
            ([c[-1] for c in curves], colour[batch], 0.94),
            ([max(c) for c in curves], "none", 1.06),
        ):
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
