"""The figures of the chapter The puzzle: from runs to pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flatlab.plots.picture import Picture, course, rows_of
from flatlab.plots.slides import Slides
from flatlab.plots.style import (
    HALF,
    LARGE,
    PAPER,
    SMALL,
    SMALLER,
    TEXT,
    WIDE,
    alike,
    band,
    batch_axis,
    by_batch,
    canvas,
    colours,
    dot,
    intervals,
    label,
    means,
    stamp,
    styled,
)
from flatlab.study import paper
from flatlab.training.train import Run


@styled
def accuracy(runs: Sequence[Run], training: Mapping[int, Sequence[float]]) -> Picture:
    """Accuracy of the trained nets against batch size: test (filled) and training (hollow), every seed as a dot.

    Parameters
    ----------
    runs : sequence of Run
        Several seeds for each batch size, on one data set.
    training : mapping
        {batch size: accuracies on the training set at the last point, one per seed}.

    Returns
    -------
    Picture
        One row per run.
    """
    groups = by_batch(runs)
    colour, axes, rows, tested = colours(groups), canvas(), [], {}
    for batch, group in groups.items():
        tested[batch] = [run.history["test_accuracy"][-1] for run in group]
        for values, hollow in ((training[batch], True), (tested[batch], False)):
            axes.plot([batch] * len(values), values, "o", markersize=3, color=colour[batch], alpha=0.5, mew=0)
            mean = dot(axes, batch * 1.09, values, colour[batch], hollow=hollow)
        label(axes, batch * 1.09, mean, f"{mean:.1f}", colour[batch], xytext=(8, 0))
        for run, test, train in zip(group, tested[batch], training[batch]):
            rows.append({"batch size": batch, "seed": run.seed, "test accuracy": test, "training accuracy": train})
    batch_axis(axes, groups)
    axes.set_ylabel("accuracy, %")
    axes.text(0.5, 0.5, "hollow: training\nfilled: test", transform=axes.transAxes, ha="center", va="center")
    data = runs[0].facts["data"]
    alt = f"Accuracy in percent against batch size. Test: {means(tested)}. Training: {means(training)}."
    return Picture([axes.figure], rows, stamp(data, len(group)), alt, f"accuracy-{data}")


@styled
def learning_curves(runs: Sequence[Run], network: str = "C1") -> Picture:
    """Figure 2: accuracy against epoch, smallest and largest batch of the runs; the paper's network in a panel of its
    own.

    Parameters
    ----------
    runs : sequence of Run
        Several seeds for each batch size, on one data set.
    network : str
        Of the paper.

    Returns
    -------
    Picture
        One row per epoch.
    """
    groups = by_batch(runs)
    ours, theirs = canvas(HALF), canvas(HALF)
    columns: dict[str, Any] = {"epoch": runs[0].history["epoch"]}
    told = []
    for batch, colour in ((min(groups), SMALL), (max(groups), LARGE)):
        for part, words, style in (("train", "training", "--"), ("test", "test", "-")):
            table = [run.history[f"{part}_accuracy"] for run in groups[batch]]
            mean = band(ours, columns["epoch"], table, colour, linestyle=style)
            columns[f"batch {batch}, {words}, mean"], columns[f"batch {batch}, {words}, ±"] = intervals(table)
            told.append(course(f"batch {batch}, {words}", columns["epoch"], mean))
        shift = 5 if batch == min(groups) else -5
        label(ours, columns["epoch"][-1], mean[-1], str(batch), colour, xytext=(6, shift))
    curve = paper.curve("fig2", network)
    for name, words, shift in (("SB", "small", 5), ("LB", "large", -5)):
        theirs.plot(curve["epoch"], curve[f"{name}_train"], color=PAPER, linewidth=1, linestyle="--")
        theirs.plot(curve["epoch"], curve[f"{name}_test"], color=PAPER, linewidth=1.2)
        label(theirs, curve["epoch"][-1], curve[f"{name}_test"][-1], words, PAPER, xytext=(6, shift))
    ours.set_title("ours")
    theirs.set_title(f"the paper: {network}, {paper.NETWORKS[network].data}", color=PAPER)
    for axes in (ours, theirs):
        axes.set(xlabel="epoch", ylabel="accuracy, %")
    alike([ours, theirs])
    ours.text(
        0.98, 0.02, "solid: test\ndashed: training", transform=ours.transAxes, ha="right", va="bottom", size=SMALLER
    )
    alt = f"Accuracy in percent against epoch. Ours: {'; '.join(told)}. Beside it, in grey, the paper's {network}."
    seeds = len(groups[batch])
    return Picture(
        [ours.figure, theirs.figure], rows_of(columns), stamp(runs[0].facts["data"], seeds), alt, "learning-curves"
    )


@styled
def against_updates(runs: Sequence[Run], positions: int = 24) -> Slides:
    """Test accuracy against the number of updates, the mean over seeds with its interval, one curve for each batch
    size; where a line is crossed by the curves is read out.

    Parameters
    ----------
    runs : sequence of Run
        Several seeds for each batch size, on one data set.
    positions : int
        Of the line, from the first to the last update that any of them has seen.

    Returns
    -------
    Slides
        One row per position: the updates, and the mean of each batch size there, "" before its first epoch and after
        its last. Between two epochs it is interpolated, as the curve is drawn.
    """
    groups = by_batch(runs)
    colour, axes, told, curves = colours(groups), canvas(), [], {}
    for batch, group in groups.items():
        updates, table = group[0].history["updates"], [run.history["test_accuracy"] for run in group]
        curves[batch] = updates, band(axes, updates, table, colour[batch])
        label(axes, updates[0], curves[batch][1][0], str(batch), colour[batch], xytext=(0, -12), ha="center")
        told.append(course(f"batch {batch}", *curves[batch]))
    first, last = (pick(pick(updates) for updates, _ in curves.values()) for pick in (min, max))
    layers, says, rows = [], [], []
    for place in np.geomspace(first, last, positions).round().astype(int).tolist():
        at = {
            batch: float(np.interp(np.log(place), np.log(updates), mean))
            for batch, (updates, mean) in curves.items()
            if updates[0] <= place <= updates[-1]
        }
        dots = [axes.plot(place, value, "o", color=colour[batch]) for batch, value in at.items()]
        layers.append([axes.axvline(place, color=TEXT, linewidth=0.8), *(one for drawn in dots for one in drawn)])
        parts = [f"batch {batch} {value:.1f} %" for batch, value in sorted(at.items(), key=lambda one: -one[1])]
        for batch, (updates, mean) in curves.items():
            if place > updates[-1]:
                parts.append(f"batch {batch} has ended with {mean[-1]:.1f} %")
            elif place < updates[0]:
                parts.append(f"batch {batch} is in its first epoch")
        says.append(f"After {place:,} update{'s' * (place != 1)}: {', '.join(parts)}.")
        rows.append({"updates": place, **{f"batch {batch}": at.get(batch, "") for batch in groups}})
    axes.set(xscale="log", xlabel="updates", ylabel="test accuracy, %")
    axes.margins(x=0.1, y=0.15)  # room for the names below the first points
    axes.set_title("first to last epoch, for each batch size")
    alt = f"Test accuracy in percent against the number of updates, logarithmic: {'; '.join(told)}."
    picture = Picture([axes.figure], rows, stamp(runs[0].facts["data"], len(group)), alt, "updates")
    return Slides(picture, layers, "Updates", says, int(np.argmin([abs(row["updates"] - 200) for row in rows])))


@styled
def printed_gaps() -> Picture:
    """The test accuracies of the paper's Table 2, small batch filled and large batch hollow, a line for each network.

    Returns
    -------
    Picture
        One row per network.
    """
    axes, rows = canvas(WIDE, 2.8), []
    for place, (net, row) in enumerate(paper.TABLE2.items()):
        small, large, gap = row["test SB"].mean, row["test LB"].mean, paper.gap(net)
        axes.plot([large, small], [place, place], color=PAPER, linewidth=1.2)
        axes.plot(small, place, "o", color=PAPER)
        axes.plot(large, place, "o", color=PAPER, markerfacecolor="none")
        label(axes, max(small, large), place, f"{gap:.1f}", PAPER, xytext=(8, 0))
        rows.append({"network": net, "small batch": small, "large batch": large, "gap": float(gap)})
    names = [f"{net}, {paper.NETWORKS[net].data}" for net in paper.TABLE2]
    axes.set_yticks(range(len(names)), labels=names)
    axes.invert_yaxis()
    axes.set(xlabel="test accuracy, %", xlim=(None, 105))
    axes.set_title("hollow: large batch, filled: small batch,\nthe number: their difference in points")
    told = "; ".join(
        f"{row['network']} {row['large batch']:.3g} with the large batch, {row['small batch']:.3g} with the small one"
        for row in rows
    )
    alt = f"The test accuracy of each of the paper's networks in percent: {told}."
    return Picture([axes.figure], rows, "the paper's Table 2 · means of 5 runs", alt, "printed-gaps")


@styled
def early_stopping(runs: Sequence[Run]) -> Picture:
    """Test accuracy at the last epoch (filled) and at each run's own best epoch, chosen on the test set (hollow).

    Parameters
    ----------
    runs : sequence of Run
        Several seeds for each batch size, on one data set.

    Returns
    -------
    Picture
        One row per run.
    """
    groups = by_batch(runs)
    colour, axes, rows, last, best = colours(groups), canvas(), [], {}, {}
    for batch, group in groups.items():
        curves = [run.history["test_accuracy"] for run in group]
        last[batch], best[batch] = [curve[-1] for curve in curves], [max(curve) for curve in curves]
        dot(axes, batch * 0.94, last[batch], colour[batch])
        dot(axes, batch * 1.06, best[batch], colour[batch], hollow=True)
        for run, curve in zip(group, curves):
            which = run.history["epoch"][int(np.argmax(curve))]
            accuracies = {"last epoch": curve[-1], "best epoch": max(curve)}
            rows.append({"batch size": batch, "seed": run.seed, **accuracies, "which": which})
    batch_axis(axes, groups)
    axes.set_ylabel("test accuracy, %")
    axes.text(0.98, 0.95, "hollow: best epoch\nfilled: last epoch", transform=axes.transAxes, ha="right", va="top")
    alt = f"Test accuracy in percent against batch size. Last epoch: {means(last)}. Best epoch: {means(best)}."
    return Picture([axes.figure], rows, stamp(runs[0].facts["data"], len(group)), alt, "early-stopping")
