"""The figures of the chapter The puzzle: from accuracies to pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

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
    canvas,
    change,
    colours,
    dot,
    intervals,
    label,
    label_ends,
    means,
    stamp,
    styled,
)
from flatlab.study import paper
from flatlab.study.recorded import Tier

#: By batch size the accuracies in percent of `"train"` and of `"test"`, each of shape (seeds, epochs).
Curves = Mapping[int, Mapping[str, "ArrayLike"]]  # by name: spelt out it is six private types of numpy's


@styled
def accuracy(
    tested: Mapping[int, Sequence[float]], trained: Mapping[int, Sequence[float]], data: str, tier: Tier | None = None
) -> Picture:
    """Accuracy where training ended against batch size: test (filled) and training (hollow), every seed as a dot.

    Parameters
    ----------
    tested, trained : mapping
        {batch size: accuracies in percent, one per seed}, on the test and on the training set.
    data, tier
        Of the figure's stamp: see `flatlab.plots.style.stamp`.

    Returns
    -------
    Picture
        One row per net.
    """
    colour, axes, rows = colours(tested), canvas(), []
    for batch, right in tested.items():
        for values, hollow in ((trained[batch], True), (right, False)):
            axes.plot([batch] * len(values), values, "o", markersize=3, color=colour[batch], alpha=0.8, mew=0)
            mean = dot(axes, batch * 1.09, values, colour[batch], hollow=hollow)
        label(axes, batch * 1.09, mean, f"{mean:.1f}", colour[batch], xytext=(8, 0))
        for seed, (test, train) in enumerate(zip(map(float, right), map(float, trained[batch]))):
            rows.append({"batch size": batch, "seed": seed, "test accuracy": test, "training accuracy": train})
    batch_axis(axes, tested)
    axes.set_ylabel("accuracy, %")
    axes.text(0.5, 0.5, "hollow: training\nfilled: test", transform=axes.transAxes, ha="center", va="center")
    alt = f"Accuracy in percent against batch size. Test: {means(tested)}. Training: {means(trained)}."
    return Picture([axes.figure], rows, stamp(data, len(values), tier), alt, f"accuracy-{data}")


@styled
def learning_curves(curves: Curves, data: str, tier: Tier | None = None, network: str = "C1") -> Picture:
    """Figure 2: accuracy against epoch, smallest and largest batch; the paper's network in a panel of its own.

    Parameters
    ----------
    curves : Curves
        The accuracies to draw.
    data, tier
        Of the figure's stamp: see `flatlab.plots.style.stamp`.
    network : str
        Of the paper.

    Returns
    -------
    Picture
        One row per epoch.
    """
    ours, theirs = canvas(HALF), canvas(HALF)
    small, large = min(curves), max(curves)
    columns: dict[str, Any] = {"epoch": list(range(1, 1 + np.shape(curves[small]["test"])[1]))}
    told, ends = [], {}
    for batch, colour in ((small, SMALL), (large, LARGE)):
        for part, words, style in (("train", "training", "--"), ("test", "test", "-")):
            table = curves[batch][part]
            mean = band(ours, columns["epoch"], table, colour, linestyle=style)
            columns[f"batch {batch}, {words}, mean"], columns[f"batch {batch}, {words}, ±"] = intervals(table)
            told.append(course(f"batch {batch}, {words}", columns["epoch"], mean))
        ends[f"{batch:,}"] = float(mean[-1]), colour
    label_ends(ours, columns["epoch"][-1], ends)
    curve = paper.curve("fig2", network)
    for name in ("SB", "LB"):
        theirs.plot(curve["epoch"], curve[f"{name}_train"], color=PAPER, linewidth=1, linestyle="--")
        theirs.plot(curve["epoch"], curve[f"{name}_test"], color=PAPER, linewidth=1.2)
    last = {"small": curve["SB_test"][-1], "large": curve["LB_test"][-1]}
    label_ends(theirs, curve["epoch"][-1], {name: (y, PAPER) for name, y in last.items()})
    ours.set_title("ours")
    theirs.set_title(f"the paper: {network}, {paper.NETWORKS[network].data}", color=PAPER)
    for axes in (ours, theirs):
        axes.set(xlabel="epoch", ylabel="accuracy, %")
    alike([ours, theirs])
    ours.text(
        0.98, 0.02, "solid: test\ndashed: training", transform=ours.transAxes, ha="right", va="bottom", size=SMALLER
    )
    alt = f"Accuracy in percent against epoch. Ours: {'; '.join(told)}. Beside it, in grey, the paper's {network}."
    return Picture(
        [ours.figure, theirs.figure], rows_of(columns), stamp(data, len(np.array(table)), tier), alt, "learning-curves"
    )


@styled
def against_updates(
    curves: Curves, updates: Mapping[int, Sequence[int]], data: str, tier: Tier | None = None, positions: int = 24
) -> Slides:
    """Test accuracy against the number of updates, the mean over seeds with its interval, one curve for each batch
    size; where a line is crossed by the curves is read out.

    Parameters
    ----------
    curves : Curves
        The accuracies to draw.
    updates : mapping
        {batch size: the updates that had been made at the end of each epoch}.
    data, tier
        Of the figure's stamp: see `flatlab.plots.style.stamp`.
    positions : int
        Of the line, from the first to the last update that any of them has seen.

    Returns
    -------
    Slides
        One row per position: the updates, and the mean of each batch size there, "" before its first epoch and after
        its last. Between two epochs it is interpolated, as the curve is drawn.
    """
    colour, axes, told, means_of = colours(curves), canvas(), [], {}
    for batch in curves:
        means_of[batch] = band(axes, updates[batch], curves[batch]["test"], colour[batch])
        place = updates[batch][0], means_of[batch][0]
        label(axes, *place, f"{batch:,}", colour[batch], xytext=(0, -12), ha="center")
        told.append(course(f"batch {batch}", updates[batch], means_of[batch]))
    first, last = (pick(pick(updates[batch]) for batch in curves) for pick in (min, max))
    layers, says, rows = [], [], []
    for place in np.geomspace(first, last, positions).round().astype(int).tolist():
        at = {
            batch: float(np.interp(np.log(place), np.log(updates[batch]), mean))
            for batch, mean in means_of.items()
            if updates[batch][0] <= place <= updates[batch][-1]
        }
        dots = [axes.plot(place, value, "o", color=colour[batch]) for batch, value in at.items()]
        layers.append([axes.axvline(place, color=TEXT, linewidth=0.8), *(one for drawn in dots for one in drawn)])
        parts = [f"batch {batch} {value:.1f} %" for batch, value in sorted(at.items(), key=lambda one: -one[1])]
        for batch, mean in means_of.items():
            if place > updates[batch][-1]:
                parts.append(f"batch {batch} has ended with {mean[-1]:.1f} %")
            elif place < updates[batch][0]:
                parts.append(f"batch {batch} is in its first epoch")
        says.append(f"After {place:,} update{'s' * (place != 1)}: {', '.join(parts)}.")
        rows.append({"updates": place, **{f"batch {batch}": at.get(batch, "") for batch in curves}})
    axes.set(xscale="log", xlabel="updates", ylabel="test accuracy, %")
    axes.margins(x=0.1, y=0.15)  # room for the names below the first points
    axes.set_title("first to last epoch, for each batch size")
    alt = f"Test accuracy in percent against the number of updates, logarithmic: {'; '.join(told)}."
    seeds = len(np.array(curves[batch]["test"]))
    picture = Picture([axes.figure], rows, stamp(data, seeds, tier), alt, "updates")
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
        change(axes, place, large, small, PAPER)
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
def early_stopping(curves: Curves, data: str, tier: Tier | None = None) -> Picture:
    """Test accuracy at the last epoch (filled) and at each net's own best epoch, chosen on the test set (hollow).

    Parameters
    ----------
    curves : Curves
        The accuracies to draw.
    data, tier
        Of the figure's stamp: see `flatlab.plots.style.stamp`.

    Returns
    -------
    Picture
        One row per net.
    """
    colour, axes, rows, last, best = colours(curves), canvas(), [], {}, {}
    for batch, parts in curves.items():
        table = np.array(parts["test"])
        last[batch], best[batch] = table[:, -1].tolist(), table.max(1).tolist()
        dot(axes, batch * 0.94, last[batch], colour[batch])
        dot(axes, batch * 1.06, best[batch], colour[batch], hollow=True)
        for seed, (ended, top, which) in enumerate(zip(last[batch], best[batch], table.argmax(1).tolist())):
            accuracies = {"last epoch": ended, "best epoch": top}
            rows.append({"batch size": batch, "seed": seed, **accuracies, "which": 1 + which})
    batch_axis(axes, curves)
    axes.set_ylabel("test accuracy, %")
    axes.text(0.98, 0.95, "hollow: best epoch\nfilled: last epoch", transform=axes.transAxes, ha="right", va="top")
    alt = f"Test accuracy in percent against batch size. Last epoch: {means(last)}. Best epoch: {means(best)}."
    return Picture([axes.figure], rows, stamp(data, len(table), tier), alt, "early-stopping")
