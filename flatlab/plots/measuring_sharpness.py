"""The figures of the chapter Measuring sharpness."""

import numpy as np

from flatlab.plots.style import PAPER, band, canvas, colours, label, spread, stamp
from flatlab.study import paper


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
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="$\\varepsilon$",
        ylabel="$\\phi$, %",
        title="solid: found by search, dotted: first order",
    )
    stamp(figure, data, len(table))
    return figure


def sharpness_by_batch(phis, rows, data):
    """Tables 3 and 4: sharpness against the batch as a share of the training set; the paper's F1 on MNIST in grey.

    phis    {"full space" or "random subspace": {eps: {batch size: percent, one a seed}}}; rows: of the training set
    """
    figure, panels = canvas(6.8, 4.0, 1, 2, sharey=True)
    figure.data = {"space": [], "eps": [], "batch size": [], "phi, %": []}
    shares = [100 * paper.SMALL_BATCH / paper.DATA_SETS["MNIST"].train, 100 * paper.LARGE_FRACTION]
    for axes, (space, table), printed in zip(panels, phis.items(), (paper.TABLE3["F1"], paper.TABLE4["F1"])):
        for eps, name, filled in zip(paper.EPSILONS, ("1e-3", "5e-4"), (True, False)):
            theirs = [printed[f"SB {name}"], printed[f"LB {name}"]]
            axes.errorbar(
                shares,
                [v.mean for v in theirs],
                [v.std for v in theirs],
                color=PAPER,
                linewidth=1,
                capsize=2,
                marker="o",
                markersize=4,
                markerfacecolor=PAPER if filled else "none",
                linestyle="-" if filled else "--",
            )
            colour = colours(table[eps])
            for batch, values in table[eps].items():
                (low,), (middle,), (high,) = spread(np.c_[values], log=True)
                axes.errorbar(
                    100 * batch / rows,
                    middle,
                    [[middle - low], [high - middle]],
                    fmt="o",
                    color=colour[batch],
                    markerfacecolor=colour[batch] if filled else "none",
                    capsize=3,
                )
                if filled:
                    label(axes, 100 * batch / rows, middle, str(batch), colour[batch], xytext=(7, 0), fontsize=9)
                for column, value in zip(
                    figure.data.values(), (space, eps, batch, np.asarray(values).round(5).tolist())
                ):
                    column.append(value)
        axes.set(xscale="log", yscale="log", xlabel="batch, % of the training set", title=space)
        axes.margins(x=0.15)
    panels[0].set_ylabel("$\\phi$, %")
    panels[1].text(
        0.03,
        0.97,
        "filled: eps 1e-3\nhollow: eps 5e-4\ngrey: the paper, F1",
        transform=panels[1].transAxes,
        va="top",
        fontsize=9,
    )
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
        axes.text(
            0.98,
            0.32 if batch == min(phis) else 0.22,
            f"batch {batch}",
            color=colour[batch],
            ha="right",
            transform=axes.transAxes,
        )
    axes.set(
        xscale="log",
        xlabel="loss multiplied by",
        ylabel="$\\phi$, % of ours at 1",
        ylim=(-8, 115),
        title="solid: ours, dashed: scipy's L-BFGS-B",
    )
    stamp(figure, data, 1)
    return figure


def searches(histories, data):
    """How the largest value found grows with the evaluations of f and its gradient.

    histories   {method: {batch size: phi in percent after each evaluation, a list a seed}}; a search that ended early keeps its value
    """
    longest = max(len(curve) for tables in histories.values() for table in tables.values() for curve in table)
    histories = {
        method: {
            batch: [[*curve, *[curve[-1]] * (longest - len(curve))] for curve in table]
            for batch, table in tables.items()
        }
        for method, tables in histories.items()
    }
    figure, panels = canvas(6.6, 3.2, 1, len(histories), sharey=True)
    best = {
        batch: np.max([np.max(table[batch], axis=1) for table in histories.values()], axis=0)
        for batch in next(iter(histories.values()))
    }
    colour = colours(best)
    figure.data = {}
    for axes, (method, tables) in zip(panels, histories.items()):
        for batch, table in tables.items():
            share = 100 * np.asarray(table) / best[batch][:, None]
            figure.data |= {"evaluations": list(range(1, share.shape[1] + 1))}
            mean = band(axes, figure.data["evaluations"], share, colour[batch])
            figure.data[f"{method}, batch {batch}"] = mean.tolist()
            axes.text(
                0.97,
                0.08 if batch == min(best) else 0.18,
                f"batch {batch}",
                color=colour[batch],
                ha="right",
                transform=axes.transAxes,
            )
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
